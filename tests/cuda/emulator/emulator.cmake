# The CUDA extension compiled for the host: the same sources, with emulator.hpp for the toolkit. For tests alone.
set(emulator ${CMAKE_CURRENT_SOURCE_DIR}/tests/cuda/emulator)

# Quick to compile: nothing is optimised but kernels and the emulator. The bits depend on no optimisation.
add_library(fnnfast_emulated INTERFACE)
target_compile_features(fnnfast_emulated INTERFACE cxx_std_20)
target_compile_options(fnnfast_emulated INTERFACE
  -O0 -g1 -ffp-contract=off -fno-math-errno -Wall -Wextra -Wconversion
  $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>)  # of maps, which are aligned to 64 bytes
if(FNNFAST_SANITIZE)
  target_compile_options(fnnfast_emulated INTERFACE -fsanitize=${FNNFAST_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(fnnfast_emulated INTERFACE -fsanitize=${FNNFAST_SANITIZE})
endif()
set_target_properties(fnnfast_emulated PROPERTIES INTERFACE_POSITION_INDEPENDENT_CODE ON)

set(emulator_sources
  ${emulator}/barriers.cpp
  ${emulator}/boxes.cpp
  ${emulator}/emulator.cpp
  ${emulator}/fibers.cpp
  ${emulator}/instructions.cpp
  ${emulator}/runtime.cpp
  ${emulator}/schedule.cpp
  ${emulator}/warpgroups.cpp)
set_source_files_properties(${emulator_sources} PROPERTIES COMPILE_OPTIONS -O1)
add_library(emulator OBJECT ${emulator_sources})
target_link_libraries(emulator PRIVATE fnnfast_emulated)

list(APPEND cuda_kernels csrc/cuda/product_hopper_bfloat16.cu csrc/cuda/product_hopper_float16.cu)
set_source_files_properties(${cuda_kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++;-O1")
set_source_files_properties(csrc/cuda/elementwise.cu PROPERTIES COMPILE_OPTIONS "-xc++")  # takes as long as all others
pybind11_add_module(_cuda MODULE NO_EXTRAS ${cuda_sources} ${cuda_kernels})
target_link_libraries(_cuda PRIVATE fnnfast_emulated emulator)
target_include_directories(_cuda PRIVATE ${emulator})
target_compile_definitions(_cuda PRIVATE FNNFAST_EMULATED FNNFAST_HOPPER)

# What tests the stand-in itself, and the plans.
add_executable(emulator_selftest EXCLUDE_FROM_ALL ${emulator}/selftest.cpp ${emulator}/selftest_errors.cpp
  ${emulator}/selftest_hopper.cpp)
target_link_libraries(emulator_selftest PRIVATE fnnfast_emulated emulator)
target_include_directories(emulator_selftest PRIVATE ${emulator})
target_compile_definitions(emulator_selftest PRIVATE FNNFAST_EMULATED)
add_executable(plan_test EXCLUDE_FROM_ALL tests/cuda/test_fused_plan.cpp csrc/cuda/fused_plan.cpp)
target_link_libraries(plan_test PRIVATE fnnfast_emulated)
