#pragma once
namespace tflite {
const Model* GetModel(const void* buffer);
}  // namespace tflite
