#pragma once
#include "tensorflow/lite/micro/micro_interpreter.h"
namespace tflite {
template <unsigned int count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddDequantize();
  TfLiteStatus AddEthosU();
  TfLiteStatus AddQuantize();
  TfLiteStatus AddSin();
};
}  // namespace tflite
