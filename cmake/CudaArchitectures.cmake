# The words that CMake takes for CUDA architectures, as numbers: the extension carries its architectures, by which it tells whether a GPU
# can run it (flowkit/motion/devices.py).

# Sets OUT to the list of architectures that ASKED means.
#
# ASKED is a list of numbers, as "80-real;90", or one of `native`, the architectures of this machine's GPUs (NATIVE, a list), `all` that the
# compiler knows (SUPPORTED, a list of numbers) and `all-major`, the first of each major version. As with CMake, the last of
# these two has PTX too.
function(flowkit_cuda_architectures OUT ASKED SUPPORTED NATIVE)
  set(found ${ASKED})
  if(ASKED STREQUAL "native")
    set(found ${NATIVE})
    list(REMOVE_DUPLICATES found)
    if(NOT found)
      message(FATAL_ERROR "CUDAARCHS=native, but no GPU is found on this machine: give the architectures of the GPUs that are to run "
                          "it, as CUDAARCHS=90")
    endif()
  elseif(ASKED STREQUAL "all" OR ASKED STREQUAL "all-major")
    set(found "")
    set(majors "")
    set(sorted ${SUPPORTED})
    list(SORT sorted COMPARE NATURAL)
    foreach(number IN LISTS sorted)
      string(REGEX REPLACE "[0-9]$" "" major "${number}")
      if(ASKED STREQUAL "all" OR NOT major IN_LIST majors)
        list(APPEND found "${number}-real")
      endif()
      list(APPEND majors ${major})
    endforeach()
    list(TRANSFORM found REPLACE "-real" "" AT -1)
  endif()
  foreach(architecture IN LISTS found)
    if(NOT architecture MATCHES "^[0-9]+[af]?(-real|-virtual)?$")
      message(FATAL_ERROR "CUDAARCHS=${ASKED}: ${architecture} is no CUDA architecture: give numbers, as \"80-real;90\", or native, all or all-major")
    endif()
  endforeach()
  set(${OUT} ${found} PARENT_SCOPE)
endfunction()

# Sets OUT to the architectures that are built for where none are asked for: of a list those that the compiler knows (SUPPORTED, a list
# of numbers), the last with PTX, which runs on GPUs that are newer.
function(flowkit_default_architectures OUT SUPPORTED)
  set(found "")
  foreach(number IN ITEMS 75 80 86 89 90 100 120)
    if(number IN_LIST SUPPORTED)
      list(APPEND found "${number}-real")
    endif()
  endforeach()
  list(TRANSFORM found REPLACE "-real" "" AT -1)
  set(${OUT} ${found} PARENT_SCOPE)
endfunction()

# Sets OUT to the numbers of the architectures that NVCC can compile for.
function(flowkit_supported_architectures OUT NVCC)
  execute_process(COMMAND "${NVCC}" --list-gpu-arch OUTPUT_VARIABLE listed OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "compute_[0-9]+" names "${listed}")
  list(REMOVE_DUPLICATES names)
  list(TRANSFORM names REPLACE "compute_" "")
  set(${OUT} ${names} PARENT_SCOPE)
endfunction()
