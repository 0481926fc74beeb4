# Sets FLOWKIT_NVCC to the CUDA compiler to use, or FLOWKIT_NVCC_MISSING to why there is none.
#
# Looked for in this order: CMAKE_CUDA_COMPILER, CUDACXX, CUDA_HOME, PATH, /usr/local/cuda, and the nvcc wheels beside the Python that
# builds (site-packages/nvidia/cu13). FLOWKIT_NVCC=wheels in the environment takes
# the wheels' and no other. FLOWKIT_NVCC_ROOT is set for the wheels.

set(FLOWKIT_NVCC "")
set(FLOWKIT_NVCC_ROOT "")
set(FLOWKIT_NVCC_MISSING "no nvcc found")

if(FLOWKIT_CUDA STREQUAL "off")
  set(FLOWKIT_NVCC_MISSING "switched off")
  return()
endif()

execute_process(
  COMMAND "${Python_EXECUTABLE}" -c "import nvidia, os; print(os.pathsep.join(nvidia.__path__))"
  OUTPUT_VARIABLE flowkit_wheels
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
string(REPLACE ":" ";" flowkit_wheels "${flowkit_wheels}")
list(TRANSFORM flowkit_wheels APPEND "/cu13/bin")

# A compiler path cached by an earlier build may be gone.
if(CMAKE_CUDA_COMPILER AND NOT EXISTS "${CMAKE_CUDA_COMPILER}")
  unset(CMAKE_CUDA_COMPILER CACHE)
  unset(CMAKE_CUDA_COMPILER)
endif()

if("$ENV{FLOWKIT_NVCC}" STREQUAL "wheels")
  find_program(flowkit_nvcc_path nvcc PATHS ${flowkit_wheels} NO_DEFAULT_PATH NO_CACHE)
  if(NOT flowkit_nvcc_path)
    message(FATAL_ERROR "FLOWKIT_NVCC=wheels, but the nvcc wheels are not beside ${Python_EXECUTABLE}: build with pip and "
                        "build isolation")
  endif()
  set(FLOWKIT_NVCC "${flowkit_nvcc_path}")
elseif(CMAKE_CUDA_COMPILER)
  set(FLOWKIT_NVCC "${CMAKE_CUDA_COMPILER}")
elseif(DEFINED ENV{CUDACXX})
  set(FLOWKIT_NVCC "$ENV{CUDACXX}")
else()
  find_program(flowkit_nvcc_path nvcc HINTS "$ENV{CUDA_HOME}/bin" NO_CACHE)
  if(NOT flowkit_nvcc_path)
    find_program(flowkit_nvcc_path nvcc PATHS /usr/local/cuda/bin ${flowkit_wheels} NO_DEFAULT_PATH NO_CACHE)
  endif()
  if(flowkit_nvcc_path)
    set(FLOWKIT_NVCC "${flowkit_nvcc_path}")
  endif()
endif()

if(FLOWKIT_NVCC MATCHES "/nvidia/cu13/bin/nvcc$")
  cmake_path(GET FLOWKIT_NVCC PARENT_PATH flowkit_nvcc_bin)
  cmake_path(GET flowkit_nvcc_bin PARENT_PATH FLOWKIT_NVCC_ROOT)
endif()

# What the CUDA part launches with, cudaLaunchKernelEx, came with CUDA 11.8.
if(FLOWKIT_NVCC)
  execute_process(COMMAND "${FLOWKIT_NVCC}" --version OUTPUT_VARIABLE flowkit_nvcc_says)
  if(flowkit_nvcc_says MATCHES "release ([0-9]+\\.[0-9]+)" AND CMAKE_MATCH_1 VERSION_LESS 11.8)
    set(FLOWKIT_NVCC_MISSING "${FLOWKIT_NVCC} is of CUDA ${CMAKE_MATCH_1}, and the CUDA part needs 11.8 or newer")
    set(FLOWKIT_NVCC "")
  endif()
endif()

if(FLOWKIT_CUDA STREQUAL "on" AND NOT FLOWKIT_NVCC)
  message(FATAL_ERROR "FLOWKIT_CUDA=on, but ${FLOWKIT_NVCC_MISSING}: set CUDACXX or CUDA_HOME, or build with FLOWKIT_NVCC=wheels in the "
                      "environment to take nvcc from the package registry")
endif()
