def find_gpu():
    return "no NVIDIA driver"
