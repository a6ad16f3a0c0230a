// Streams and events.

#include "cuda_emulator/cudart/runtime.h"

using namespace cuda_emulator::cudart;

namespace {

Event* event_of(cudaEvent_t handle) { return reinterpret_cast<Event*>(handle); }

cudaError_t no_stream() { return error(cudaErrorInvalidResourceHandle, "no such stream"); }

cudaError_t create_stream(cudaStream_t* out, unsigned flags) {
  return api([&] {
    auto stream = std::make_unique<Stream>();
    stream->is_blocking = !(flags & cudaStreamNonBlocking);
    runtime().streams.insert(stream.get());
    *out = reinterpret_cast<cudaStream_t>(stream.release());
    return cudaSuccess;
  });
}

/// cudaStreamSynchronize and cudaStreamQuery: an error where the stream is in a capture.
cudaError_t wait_for(cudaStream_t handle, const char* name) {
  return api([&] {
    Runtime& rt = runtime();
    Stream* const stream = rt.find(handle);
    if (!stream) return no_stream();
    if (stream->capture) {
      return invalidate(*stream->capture,
                        cudaErrorStreamCaptureUnsupported,
                        std::string(name) + " of a stream in a capture");
    }
    const bool is_legacy = !rt.streams.contains(stream);
    if (Capture* const capture = is_legacy ? rt.capture_of_blocking_stream() : nullptr) {
      return invalidate(*capture,
                        cudaErrorStreamCaptureImplicit,
                        "the legacy stream waits for a stream in a capture");
    }
    return finish_work();
  });
}

cudaError_t wait_for_event(cudaEvent_t handle) {
  return api([&] {
    if (Capture* const capture = event_of(handle)->capture) {
      return invalidate(*capture, cudaErrorCapturedEvent, "the event was recorded in a capture");
    }
    return finish_work();
  });
}

/// A stream that waits for an event of a capture joins it; the origin that waits joins the other
/// stream's work.
cudaError_t wait_in_capture(Stream& stream, const Event& event) {
  Capture* const capture = event.capture;
  if (stream.capture && stream.capture != capture) {
    if (!capture) {
      return invalidate(*stream.capture,
                        cudaErrorStreamCaptureIsolation,
                        "a stream in a capture would wait for what is not in it");
    }
    capture->is_invalid = true;
    return invalidate(*stream.capture, cudaErrorStreamCaptureMerge, "two captures would merge");
  }
  if (!capture) return cudaSuccess;
  stream.capture = capture;
  if (&stream != capture->origin) capture->unjoined.insert(&stream);
  if (event.stream != &stream) capture->unjoined.erase(event.stream);
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* out) { return create_stream(out, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  return create_stream(out, flags);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int) {
  return create_stream(out, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return api([&] {
    Runtime& rt = runtime();
    Stream* const stream = rt.find(handle);
    if (!stream || !rt.streams.contains(stream)) return no_stream();
    if (Capture* const capture = stream->capture) {
      if (capture->origin == stream) {
        end_capture(capture);
      } else {
        capture->is_invalid = true;
        capture->unjoined.erase(stream);
      }
    }
    rt.streams.erase(stream);
    delete stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return wait_for(stream, "cudaStreamSynchronize");
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return wait_for(stream, "cudaStreamQuery"); }

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return api([&] {
    Stream* const stream = runtime().find(handle);
    if (!stream) return no_stream();
    return wait_in_capture(*stream, *event_of(event));
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return api([&] {
    return submit(stream, {cudaGraphNodeTypeHost, nullptr, [function, data] {
                             function(data);
                             return cudaSuccess;
                           }});
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  delete event_of(handle);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  return api([&] {
    Stream* const stream = runtime().find(stream_handle);
    if (!stream) return no_stream();
    if (stream->capture && stream->capture->is_invalid) {
      return error(cudaErrorStreamCaptureInvalidated, "the capture has failed before");
    }
    Event& event = *event_of(handle);
    event.time = std::chrono::steady_clock::now();
    event.is_recorded = true;
    event.capture = stream->capture;
    event.stream = stream;
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return wait_for_event(event); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return wait_for_event(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return api([&] {
    const Event &a = *event_of(begin), &b = *event_of(end);
    if (!a.is_recorded || !b.is_recorded) {
      return error(cudaErrorInvalidResourceHandle, "an event that was not recorded");
    }
    *milliseconds = std::chrono::duration<float, std::milli>(b.time - a.time).count();
    return cudaSuccess;
  });
}

}  // extern "C"
