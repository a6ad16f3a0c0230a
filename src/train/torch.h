#pragma once
// All of LibTorch that the trainer uses: tensors and autograd, no modules and no optimisers of its.
// Precompiled: a file that includes this costs seconds instead of half a minute.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
