#!/usr/bin/env bash
# Everything that needs a GPU: builds flowkit for it, tests it there, runs the sanitizer and the benchmarks.
#
#   benchmarks/gpu_check.sh OUT [WHEELS]
#
#   call  step      limit, s  what it does                                                  leaves in OUT
#   1, 2  build     150       compiles for CUDAARCHS; nothing where these sources are built  build.log
#   1     test      240       tests/gpu, of which none may skip for want of a GPU            test.log
#   1     sanitize  180       memcheck, racecheck, synccheck, initcheck over `-m sanitizer`  sanitize.log
#                             (what initcheck reports does not decide)
#   2     bench     300       the card's limits, the solver by size and batch, the CPU       bench.json
#   2     peers     120       cuCIM and cv2.cuda beside flowkit, speed and true error        peers.json
#   3     extract   120       flowkit extract --gpu, with the seconds of each stage          extract.json
#   3     train     120       three folds of the trainer                                     train.json
#
# Where a call may take ten minutes, make three:
#
#   WITHIN=580 STEPS="build test sanitize" benchmarks/gpu_check.sh OUT
#   WITHIN=580 STEPS="build bench peers"   benchmarks/gpu_check.sh OUT
#   WITHIN=580 STEPS="build extract train" benchmarks/gpu_check.sh OUT
#
# Each step prints its summary line, which OUT/summary.txt collects; a step that fails does not keep the next from running.
# The exit code is the number of steps that failed. Benchmarks write their JSON after each row, and start nothing that
# would end after their limit. WHEELS is a folder of wheels for packages that are missing where there is no package
# registry, such as cuCIM. The environment may set
#   PYTHON (python3), SANITIZER (compute-sanitizer), CUDAARCHS (90), STEPS (all of the above),
#   WITHIN, seconds for all steps together, and LIMITS, other limits, as "test=400 bench=60",
#   TESTS, what the step test gives to pytest (tests/gpu), PARTS of the step bench (limits rates cpu), and BENCH, further
#   options of benchmarks.bench_gpu.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:?give a folder for the results}" && cd "$1" && pwd) || exit 100
wheels=${2:+$(cd "$2" && pwd)}
python=${PYTHON:-python3}
sanitizer=${SANITIZER:-compute-sanitizer}
all="build test sanitize bench peers extract train"
steps=${STEPS:-$all}
within=${WITHIN:-86400}
export CUDAARCHS=${CUDAARCHS:-90} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FLOWKIT_REQUIRE_GPU=1
failed=()

for name in $steps; do
  [[ " $all " == *" $name "* ]] || { echo "STEPS: no step is called $name; there are $all" >&2; exit 100; }
done

# One folder for each state of the sources, so that they are built once.
FLOWKIT_COMMIT=$(git describe --always --dirty --abbrev=12 2>/dev/null)
export FLOWKIT_COMMIT
state=$({
  find csrc cmake build_support flowkit trainer CMakeLists.txt pyproject.toml -type f ! -name '*.pyc' ! -name '*.so' -print0 | sort -z | xargs -0 cat
  "$python" -VV
  echo "$CUDAARCHS $wheels"
} | sha256sum | cut -c 1-16)
site="$PWD/build/gpu_check/$state"
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"

# Tests and benchmarks run from a copy without flowkit's source, against what was built.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r tests benchmarks pyproject.toml "$work"

step() { # runs the function step_NAME within so many seconds
  # (the prefix, because an exported function called test would be every child's `test`)
  local name=$1 limit=$2 start=$SECONDS code=0 log=$out/$1.log given word
  [[ " $steps " == *" $name "* ]] || return 0
  for given in ${LIMITS:-}; do [[ "${given%%=*}" == "$name" ]] && limit=${given#*=}; done
  ((limit > within - SECONDS)) && limit=$((within - SECONDS))
  if ((limit < 1)); then
    summary "$name: FAILED, not run: the $within s of WITHIN are used"
    return
  fi
  if [[ $name != build && ! -e "$site/.built" ]]; then
    summary "$name: FAILED, not run: these sources are not built, which the step build does"
    return
  fi
  export limit
  (cd "$([[ $name == build ]] && pwd || echo "$work")" && timeout -k 10 "$limit" bash -uo pipefail -c "step_$name" </dev/null) >"$log" 2>&1
  code=$?
  case $code in
    0) word=passed ;;
    124 | 137) word="FAILED, stopped at its limit of $limit s" ;;
    *) word="FAILED, exit $code" ;;
  esac
  [[ $code == 0 ]] || { tail -n 25 "$log" && echo; } # what was stopped may have begun a line
  summary "$name: $word after $((SECONDS - start)) s of $limit: $(grep . "$log" | tail -n 1)"
}

summary() {
  echo "== $1" | tee -a "$out/summary.txt"
  [[ "$1" != *": FAILED"* ]] || failed+=("${1%%:*}")
}

step_build() {
  if [[ ! -e "$site/.built" ]]; then
    rm -rf "$site" && mkdir -p "$site" || return
    if [[ -n "$wheels" ]]; then
      "$python" -m pip install -q --no-index --no-deps --target "$site" "$wheels"/*.whl || return
    fi
    "$python" -m pip install -q --no-build-isolation --no-deps --no-index --target "$site" -C build-dir="$site.tmp" \
      -C cmake.define.FLOWKIT_CUDA=on -C cmake.define.FLOWKIT_TEST_HOOKS=on . || return
    rm -rf "$site.tmp"
  fi
  # From elsewhere: the source folder has a flowkit too, and perhaps another one is installed.
  cd "$site" && "$python" -c "
import flowkit.cli.doctor, pathlib, sys
flowkit.tvl1_flow, flowkit.motion_cube, flowkit.strain_tensor  # which are imported when asked for
here = pathlib.Path(flowkit.__file__).parent.parent
if here != pathlib.Path(sys.argv[1]):
    sys.exit(f'flowkit comes from {here} and not from what was built, {sys.argv[1]}')
for row in flowkit.cli.doctor.report():
    print(*row, sep=': ')
print('built', here, 'for sm', (flowkit.cli.doctor._core.cuda_build or ('', 'none: without CUDA'))[1])
" "$site" && touch "$site/.built"
}

tests() { # the tool that runs Python, if any, then pytest's options; a run in which nothing passed has failed
  "$@" -p no:cacheprovider -W default 2>&1 | tee "$work/tests.log" && grep -q " passed" "$work/tests.log"
}

step_test() {
  # shellcheck disable=SC2086 # several words
  tests "$python" -m pytest -v --tb=short --durations=10 ${TESTS:-tests/gpu}
}

step_sanitize() {
  command -v "$sanitizer" >/dev/null || { echo "$sanitizer is not here: it is part of the CUDA toolkit"; return 1; }
  local check decides code=0 word results=""
  for check in memcheck racecheck synccheck initcheck; do
    echo "-- $check"
    word=passed
    # Whole words of 16 bytes are read, and with them padding of rows that nobody wrote, which initcheck reports.
    decides=(--error-exitcode 1)
    [[ $check != initcheck ]] || decides=()
    tests timeout -k 10 $((limit / 4 + 1)) "$sanitizer" --tool "$check" --target-processes all "${decides[@]}" \
      "$python" -m pytest -q -x --tb=short -m sanitizer tests/gpu || { word=FAILED && code=1; }
    [[ $word == FAILED ]] || ! grep -q "ERROR SUMMARY: [1-9]" "$work/tests.log" || word+=" with reports"
    results+="$check $word, "
  done
  echo "${results%, }"
  return $code
}

measure() { # into OUT/NAME.json, the parts given
  local name=$1
  shift
  # shellcheck disable=SC2086 # several words
  "$python" -m benchmarks.bench_gpu --seconds $((limit * 9 / 10)) -o "$out/$name.json" --parts "$@" ${BENCH:-}
}

# shellcheck disable=SC2086 # several words
step_bench() { measure bench ${PARTS:-limits rates cpu}; }
step_peers() { measure peers peers --sizes 224,128,640x480; }
step_extract() { measure extract extract; }
step_train() { measure train train; }

export -f tests measure step_build step_test step_sanitize step_bench step_peers step_extract step_train
export out wheels python sanitizer site work
step build 150
step test 240
step sanitize 180
step bench 300
step peers 120
step extract 120
step train 120
[[ ${#failed[@]} == 0 ]] && echo "all steps passed" || echo "failed: ${failed[*]}"
exit ${#failed[@]}
