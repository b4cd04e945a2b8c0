# The CUDA extension, with nvcc 12.8 or newer. AUTO says why it is left out; ON stops there.
function(fnnfast_no_cuda why)
  if(FNNFAST_CUDA STREQUAL "AUTO")
    message(STATUS "No CUDA extension: ${why}")
  else()
    message(FATAL_ERROR "FNNFAST_CUDA is ${FNNFAST_CUDA}, but ${why}")
  endif()
endfunction()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  fnnfast_no_cuda("nvcc was not found")
  return()
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 100-real 80-virtual)
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
  fnnfast_no_cuda("nvcc is ${CMAKE_CUDA_COMPILER_VERSION}, and 12.8 is needed")
  return()
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
find_package(CUDAToolkit REQUIRED)

# Kernels of Hopper's own instructions, where there is code for it (sm_90a).
if(CMAKE_CUDA_ARCHITECTURES MATCHES "90a")
  list(APPEND cuda_kernels csrc/cuda/product_hopper_bfloat16.cu csrc/cuda/product_hopper_float16.cu)
  set(cuda_definitions FNNFAST_HOPPER)
endif()

pybind11_add_module(_cuda MODULE ${cuda_sources} ${cuda_kernels})
target_compile_definitions(_cuda PRIVATE ${cuda_definitions})
target_link_libraries(_cuda PRIVATE CUDA::cudart_static)
set_target_properties(_cuda PROPERTIES
  CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden INTERPROCEDURAL_OPTIMIZATION OFF)
# -std is an option: older CMake (3.25.1, which Debian 12 has) does not know that nvcc has C++20, and CUDA_STANDARD is
# by default CXX_STANDARD.
# No contraction, as on the CPU: multiply and add are fused where the source says fma.
target_compile_options(_cuda PRIVATE -std=c++20
  $<$<COMPILE_LANGUAGE:CXX>:-O3 -Wall -Wextra -Wconversion>
  $<$<COMPILE_LANGUAGE:CUDA>:-O3 -fmad=false --expt-relaxed-constexpr --compress-mode=size -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas -Xptxas=--warn-on-spills -Wno-deprecated-gpu-targets>)
install(TARGETS _cuda LIBRARY DESTINATION ${FNNFAST_CUDA_PACKAGE} COMPONENT cuda)
