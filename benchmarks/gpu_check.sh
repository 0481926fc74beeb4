#!/usr/bin/env bash
# Builds flowkit for this machine's GPU, tests it there, runs the sanitizer and the benchmarks: everything that needs a GPU.
#
#   benchmarks/gpu_check.sh OUT [WHEELS]
#
# OUT gets a log of each step, bench_gpu.json and bench_extract.json. WHEELS is a folder of wheels for packages that are missing where there is no
# package registry. The exit code is 0 if every step passed; a step that fails does not keep the next from running. The
# environment may set PYTHON (python3), STEPS ("build test sanitize bench extract") and CUDAARCHS (90).
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:?give a folder for the results}" && cd "$1" && pwd)
wheels=${2:+$(cd "$2" && pwd)}
python=${PYTHON:-python3}
steps=${STEPS:-build test sanitize bench extract}
export CUDAARCHS=${CUDAARCHS:-90} PYTHONUNBUFFERED=1
site=$(mktemp -d)
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
failed=()

step() { # the name of a function below, and the seconds it may take
  local name=$1 limit=$2 start=$SECONDS
  [[ " $steps " == *" $name "* ]] || return 0
  echo "== $name"
  timeout "$limit" bash -c "$name" >"$out/$name.log" 2>&1
  local code=$?
  tail -n 12 "$out/$name.log"
  echo "== $name: exit $code after $((SECONDS - start)) s"
  [[ $code == 0 ]] || failed+=("$name")
}

build() {
  if [[ -n "$wheels" ]]; then
    "$python" -m pip install -q --no-index --no-deps --target "$site" "$wheels"/*.whl || return
  fi
  # In a new folder: an earlier build may have been one without CUDA.
  "$python" -m pip install -q --no-build-isolation --no-deps --no-index --target "$site" -C build-dir="$(mktemp -d)" \
    -C cmake.define.FLOWKIT_CUDA=on . || return
  # From elsewhere, so that the installed package is found and not the source folder, which has no extension.
  cd "$site" && "$python" -c "import flowkit.cli.doctor as d; [print(*row, sep=': ') for row in d.report()]"
}

# Tests and benchmarks run from a copy without flowkit's source, against what was built.
work=$(mktemp -d)
cp -r tests benchmarks pyproject.toml "$work"

test() {
  "$python" -m pytest -q -p no:cacheprovider tests/gpu | tee "$site/tests" && ! grep -q "no usable GPU" "$site/tests"
}

sanitize() {
  local tool=${SANITIZER:-compute-sanitizer}
  command -v "$tool" >/dev/null || { echo "no $tool here"; return 1; }
  for check in memcheck racecheck initcheck; do
    echo "-- $check"
    "$tool" --tool "$check" --error-exitcode 1 "$python" -m pytest -q -x tests/gpu/test_tvl1.py -k sanitizer || return
  done
}

bench() { "$python" -m benchmarks.bench_gpu --parts limits rates cpu -o "$out/bench_gpu.json"; }
extract() { "$python" -m benchmarks.bench_gpu --parts extract -o "$out/bench_extract.json"; }

export -f build test sanitize bench extract
export out wheels python site
step build 300
cd "$work" || exit 1
step test 300
step sanitize 400
step bench 500
step extract 120
[[ ${#failed[@]} == 0 ]] && echo "all steps passed" || echo "failed: ${failed[*]}"
exit ${#failed[@]}
