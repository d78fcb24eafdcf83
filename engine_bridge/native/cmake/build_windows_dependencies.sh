#!/usr/bin/env bash
# Builds libzmq, LZ4 and libjpeg-turbo for Windows with mingw-w64, static, into one folder, for the preset windows-mingw.
#
#   build_windows_dependencies.sh [PREFIX] [SOURCES]
#
# PREFIX   where to install; default: build/windows-prefix of this repository
# SOURCES  folder with zeromq3_*.orig.tar.gz, lz4_*.orig.tar.gz and libjpeg-turbo_*.orig.tar.gz; default: fetched with
#          "apt-get source", which needs deb-src lines in the sources of apt
#
# On Windows itself none of this is needed: vcpkg (zeromq, lz4, libjpeg-turbo) and MSYS2 bring the same libraries.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "${1:-$root/build/windows-prefix}"
prefix=$(cd "${1:-$root/build/windows-prefix}" && pwd)
work=$prefix/.build
sources=${2:-$work/sources}
mkdir -p "$work" "$sources"
sources=$(cd "$sources" && pwd)

# unpacked NAME: the folder of that source package, fetched and unpacked if need be.
unpacked() {
    local name=$1 archive
    archive=$(find "$sources" -maxdepth 1 -name "${name}_*.orig.tar.gz" | sort | tail -1)
    if [ -z "$archive" ]; then
        (cd "$sources" && apt-get source --download-only -qq "$name" >&2)
        archive=$(find "$sources" -maxdepth 1 -name "${name}_*.orig.tar.gz" | sort | tail -1)
    fi
    [ -n "$archive" ] || { echo "no source of $name; put ${name}_VERSION.orig.tar.gz into $sources" >&2; return 1; }
    rm -rf "${work:?}/$name"
    mkdir "$work/$name"
    tar -xzf "$archive" -C "$work/$name" --strip-components=1
    echo "$work/$name"
}

# built NAME [OPTION...]: configure, build and install with CMake.
built() {
    local source
    source=$(unpacked "$1")
    shift
    cmake -S "$source" -B "$source/build" -G Ninja --toolchain "$here/mingw-w64.cmake" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_INSTALL_PREFIX="$prefix" -DBUNRAKU_WINDOWS_PREFIX="$prefix" -DCMAKE_POLICY_VERSION_MINIMUM=3.5 "$@" >"$source.log"
    cmake --build "$source/build" --parallel "${JOBS:-2}" >>"$source.log" 2>&1 || { tail -40 "$source.log" >&2; return 1; }
    cmake --install "$source/build" >>"$source.log"
}

# CURVE comes from tweetnacl, which libzmq brings along. Its ipc wants a header that mingw-w64 has not.
built zeromq3 -DBUILD_SHARED=OFF -DBUILD_STATIC=ON -DBUILD_TESTS=OFF -DENABLE_CURVE=ON -DWITH_LIBSODIUM=OFF \
    -DWITH_PERF_TOOL=OFF -DWITH_DOCS=OFF -DENABLE_WS=OFF -DENABLE_CPACK=OFF -DWITH_DOC=OFF \
    -DZMQ_HAVE_IPC=OFF -DWITH_LIBBSD=OFF

lz4=$(unpacked lz4)
x86_64-w64-mingw32-gcc -O3 -c "$lz4/lib/lz4.c" -o "$work/lz4.o"
mkdir -p "$prefix/lib" "$prefix/include"
x86_64-w64-mingw32-ar rcs "$prefix/lib/liblz4.a" "$work/lz4.o"
cp "$lz4/lib/lz4.h" "$prefix/include/"

# Its fast paths are written for nasm; without it the plain ones decode a 512x512 frame in about 3 ms.
simd=OFF
if command -v nasm >/dev/null; then simd=ON; fi
built libjpeg-turbo -DENABLE_SHARED=OFF -DWITH_SIMD=$simd

echo "installed into $prefix"
