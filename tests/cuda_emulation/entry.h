// Functions of packflow::cuda behind C names, for ctypes. Included after the .cu file that has them.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

/// An argument given by address: a pointer is that address, anything else lies there.
template <class Parameter>
decltype(auto) argument(void* address) {
  using Value = std::remove_cv_t<std::remove_reference_t<Parameter>>;
  if constexpr (std::is_pointer_v<Value>) {
    return static_cast<Value>(address);
  } else {
    return *static_cast<const Value*>(address);
  }
}

template <class... Parameters, size_t... k>
void call(void (*function)(Parameters...), void** arguments, std::index_sequence<k...>) {
  function(argument<Parameters>(arguments[k])...);
}

template <class... Parameters>
void run(void (*function)(Parameters...), void** arguments, int order) {
  emulation::order = static_cast<emulation::Order>(order);
  call(function, arguments, std::index_sequence_for<Parameters...>());
}

/// A function that is no template: its numbers are double.
#define EMULATED_FLOAT64(function) \
  extern "C" void function##_float64(void** arguments, int order) { run(packflow::cuda::function, arguments, order); }

#define EMULATED(function)                                          \
  extern "C" void function##_float32(void** arguments, int order) { \
    run(packflow::cuda::function<float>, arguments, order);         \
  }                                                                 \
  extern "C" void function##_float64(void** arguments, int order) { \
    run(packflow::cuda::function<double>, arguments, order);        \
  }
