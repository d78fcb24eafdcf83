// From motion to a picture on a processor: layers moved by flows and put over each other, row by row.
//
// The definition is training/animator/composite.py; tests hold this to it. Written for Clang: `python -m
// runtime.composite.build` compiles it, once for processors with AVX2 and once for those without, and the kernel
// chooses when it is called.
//
// Layers are put together from the front to the back, so that what is hidden costs nothing. Each stretch of SEGMENT
// pixels asks a table of sums whether the place that a layer's paint would come from holds any paint at all.
//
// What a network says may be anything, also no number at all: `x > 0 ? x : 0` is 0 then, and every place read lies
// inside of its picture. So this must not be compiled with -ffast-math.

#ifndef ROWS  // the outer file: what does not depend on the processor, then the same rows for each

#include <stdint.h>
#include <string.h>

#define REFERENCES 5  // back, body, head, front, open
#define HEAD 2
#define OPEN 4
#define PLANES 10  // keep back, body, head, front; open; drawn; red, green, blue, alpha
#define KEEP 0
#define OPENED 4
#define DRAWN 5
#define DRAWING 6
#define GRID 64
#define MOST_PLANES_PX 512
#define SEGMENT 32
#define NOTHING (1.0f / 512)  // less than half of a 255th
#define CELL 8  // pixels per side of a cell of `occupied`

typedef float float4 __attribute__((vector_size(16)));
typedef float float8 __attribute__((vector_size(32)));
typedef uint8_t byte8 __attribute__((vector_size(8)));

// One picture. Arrays are C-contiguous; nothing is kept after the call.
typedef struct {
    const float *flow;          // [REFERENCES, 2, GRID, GRID] x and y, half pictures
    const float *planes;        // [PLANES, planes_px, planes_px]
    const uint8_t *references;  // [REFERENCES, size, size, 4] premultiplied
    const uint32_t *occupied;   // [REFERENCES, size / CELL + 1, size / CELL + 1] sums of cells that hold paint
    uint8_t *out;               // [size, size, 4] straight
    int32_t size;               // GRID times a power of two
    int32_t planes_px;          // likewise, at most `size`
    float clear;                // alpha up to which a pixel is clear, 0..1
    float gain;                 // of what is above it
} Picture;

#define ROWS rows_of_any
#include "kernel.c"
#undef ROWS
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#define ROWS rows_with_avx2
#include "kernel.c"
#undef ROWS
#pragma clang attribute pop
#endif

#if defined(__x86_64__)
#include <cpuid.h>

static int has_avx2(void) {
    uint32_t a, b, c, d, saved, upper;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(upper) : "c"(0));
    if ((saved & 6) != 6) return 0;  // the system does not save its registers
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2);
}
#endif

#if defined(_WIN32)
#define EXPORT __attribute__((dllexport))
#else
#define EXPORT __attribute__((visibility("default")))
#endif

// Changes whenever `Picture` or the meaning of anything in it does.
EXPORT int32_t bunraku_composite_version(void) { return 2; }

// Draw the rows from `first` to before `end`. Several threads may draw different rows of one picture.
EXPORT void bunraku_composite_rows(const Picture *picture, int32_t first, int32_t end) {
#if defined(__x86_64__)
    if (has_avx2()) {
        rows_with_avx2(picture, first, end);
        return;
    }
#endif
    rows_of_any(picture, first, end);
}

// The same without what newer processors have.
EXPORT void bunraku_composite_rows_of_any(const Picture *picture, int32_t first, int32_t end) {
    rows_of_any(picture, first, end);
}

static inline uint32_t pixel_at(const uint8_t *at) {
    uint32_t pixel;
    memcpy(&pixel, at, 4);
    return pixel;
}

static int is_clear(const uint8_t *row, int from, int count) {
    uint32_t any = 0;
    for (int x = from; x < from + count; x++) any |= pixel_at(row + 4 * x);
    return !(any >> 24);
}

// Give clear pixels beside the figure its colour, so that a texture filter mixes in no black. When all rows are drawn.
EXPORT void bunraku_composite_bleed(uint8_t *out, int32_t size, int32_t first, int32_t end) {
    for (int y = first; y < end; y++) {
        uint8_t *row = out + (size_t)4 * size * y;
        const uint8_t *above = y ? row - 4 * size : row, *below = y + 1 < size ? row + 4 * size : row;
        for (int block = 0; block < size; block += SEGMENT) {
            const int from = block ? block - 1 : 0, to = block + SEGMENT < size ? block + SEGMENT + 1 : size;
            if (is_clear(row, from, to - from) && is_clear(above, block, SEGMENT) && is_clear(below, block, SEGMENT))
                continue;
            for (int x = block; x < block + SEGMENT; x++) {
                if (row[4 * x + 3]) continue;
                const uint8_t *beside[4] = {
                    row + 4 * (x ? x - 1 : x), row + 4 * (x + 1 < size ? x + 1 : x), above + 4 * x, below + 4 * x};
                for (int i = 0; i < 4; i++)
                    if (beside[i][3]) {
                        memcpy(row + 4 * x, beside[i], 3);
                        break;
                    }
            }
        }
    }
}

#else  // the rows, for one kind of processor

#define PASTE(a, b) a##_##b
#define NAMED(name, rows) PASTE(name, rows)
#define within NAMED(within, ROWS)
#define line_between NAMED(line_between, ROWS)
#define spread NAMED(spread, ROWS)
#define holds_paint NAMED(holds_paint, ROWS)
#define cubic NAMED(cubic, ROWS)
#define add_two NAMED(add_two, ROWS)
#define beyond_edges NAMED(beyond_edges, ROWS)
#define sample NAMED(sample, ROWS)

// 0 to `last`; 0 for what is no number.
static inline float within(float value, float last) {
    value = value > 0 ? value : 0;
    return value < last ? value : last;
}

// A row of a smaller plane, between two of its rows, with its ends repeated: into [-1..width].
static inline void line_between(const float *plane, int width, float y, float scale, float *restrict line) {
    const int above = y < 0 ? 0 : (int)y;
    const int below = above + 1 < width ? above + 1 : above;
    const float share = y < 0 ? 0 : y - (float)above;
    const float *restrict a = plane + above * width, *restrict b = plane + below * width;
    for (int x = 0; x < width; x++) line[x + 1] = (a[x] + share * (b[x] - a[x])) * scale;
    line[0] = line[1];
    line[width + 1] = line[width];
}

// SEGMENT pixels of a line that is `times` smaller, a power of two, from pixel `from`.
static inline void spread(const float *restrict line, int times, int from, float *restrict values) {
    if (times == 1) {
        memcpy(values, line + from + 1, SEGMENT * sizeof *values);
        return;
    }
    float wide[SEGMENT + 64];
    const float *restrict at = line + from / times;
#define EVERY(n)                                                                   \
    case n:                                                                        \
        for (int i = 0; i < SEGMENT / n + 1; i++)                                  \
            for (int j = 0; j < n; j++) wide[i * n + j] = at[i] + (j + 0.5f) / n * (at[i + 1] - at[i]); \
        break;
    switch (times) {
        EVERY(2)
        EVERY(4)
        EVERY(8)
        EVERY(16)
        EVERY(32)
        default:  // one step at most within a segment
            for (int j = 0; j < SEGMENT; j++) {
                const float place = ((float)(from + j) + 0.5f) / (float)times + 0.5f;
                const int left = (int)place;
                values[j] = line[left] + (place - (float)left) * (line[left + 1] - line[left]);
            }
            return;
    }
#undef EVERY
    memcpy(values, wide + times / 2, SEGMENT * sizeof *values);
}

// Whether a reference holds any paint from (left, top) to (right, bottom), pixels.
static inline int holds_paint(const uint32_t *sums, int size, float left, float top, float right, float bottom) {
    const int cells = size / CELL;
    const float last = (float)size - 1;
    left = within(left - 1, last);  // a sample also takes its neighbours
    top = within(top - 1, last);
    right = within(right + 2, last);
    bottom = within(bottom + 2, last);
    const int x0 = (int)left / CELL, y0 = (int)top / CELL, x1 = (int)right / CELL + 1, y1 = (int)bottom / CELL + 1;
    const uint32_t *first = sums + y0 * (cells + 1), *end = sums + y1 * (cells + 1);
    return end[x1] - end[x0] != first[x1] - first[x0];
}

// Shares of the four pixels around a place, `t` behind the second of them: cubic convolution with a = -0.75, as torch
// and ONNX have it (Keys 1981, doi:10.1109/TASSP.1981.1163711). Between two pixels it blurs far less than straight lines.
static inline void cubic(const float *restrict t, float (*restrict shares)[SEGMENT]) {
    const float a = -0.75f;
    for (int i = 0; i < SEGMENT; i++) {
        const float back = 1 - t[i];
        shares[0][i] = a * t[i] * back * back;
        shares[1][i] = ((a + 2) * t[i] - (a + 3)) * t[i] * t[i] + 1;
        shares[2][i] = ((a + 2) * back - (a + 3)) * back * back + 1;
        shares[3][i] = a * back * t[i] * t[i];
    }
}

// Two pixels beside each other, added to a sum.
static inline void add_two(float8 *sum, const uint8_t *at, float share) {
    byte8 bytes;
    memcpy(&bytes, at, 8);
    *sum += share * __builtin_convertvector(bytes, float8);
}

// The 4x4 pixels right and below of (column, row), where the edges of the reference go on.
static inline void beyond_edges(const uint8_t *reference, int size, int column, int row, uint8_t *block) {
    for (int i = 0; i < 16; i++) {
        int from_x = column + i % 4, from_y = row + i / 4;
        from_x = from_x < 0 ? 0 : from_x < size ? from_x : size - 1;
        from_y = from_y < 0 ? 0 : from_y < size ? from_y : size - 1;
        memcpy(block + 4 * i, reference + 4 * ((size_t)from_y * size + from_x), 4);
    }
}

// SEGMENT pixels of a reference, in 255ths. Cubic convolution overshoots beside edges; paint stays paint.
static inline void sample(
    const uint8_t *restrict reference, int size, int x, int y, const float *restrict dx, const float *restrict dy,
    float4 *restrict paint) {
    const float last = (float)size + 1;
    int32_t columns[SEGMENT], rows[SEGMENT];
    float right[SEGMENT], lower[SEGMENT], along[4][SEGMENT], down[4][SEGMENT];
    for (int i = 0; i < SEGMENT; i++) {
        // From 2 before the first pixel, where the edge is all that is seen, to 2 behind the last.
        const float px = within((float)(x + i) + dx[i] + 2, last + 2), py = within((float)y + dy[i] + 2, last + 2);
        const int column = (int)px, row = (int)py;
        columns[i] = column - 3;
        rows[i] = row - 3;
        right[i] = px - (float)column;
        lower[i] = py - (float)row;
    }
    cubic(right, along);
    cubic(lower, down);
    for (int i = 0; i < SEGMENT; i++) {
        const int column = columns[i], row = rows[i];
        uint8_t edge[64];
        const uint8_t *block = edge;
        size_t step = 16;
        if (column >= 0 && row >= 0 && column <= size - 4 && row <= size - 4) {
            step = (size_t)4 * size;
            block = reference + (size_t)row * step + (size_t)4 * column;
        } else {
            beyond_edges(reference, size, column, row, edge);
        }
        float8 first = {0}, second = {0};
        for (int k = 0; k < 4; k++) {
            add_two(&first, block + k * step, down[k][i]);
            add_two(&second, block + k * step + 8, down[k][i]);
        }
        const float4 sum = along[0][i] * __builtin_shufflevector(first, first, 0, 1, 2, 3)
                           + along[1][i] * __builtin_shufflevector(first, first, 4, 5, 6, 7)
                           + along[2][i] * __builtin_shufflevector(second, second, 0, 1, 2, 3)
                           + along[3][i] * __builtin_shufflevector(second, second, 4, 5, 6, 7);
        const float4 none = {0, 0, 0, 0}, all = {255, 255, 255, 255};
        paint[i] = __builtin_elementwise_min(__builtin_elementwise_max(sum, none), all);
    }
}

static void ROWS(const Picture *picture, int32_t first, int32_t end) {
    static const int from_the_front[4] = {3, HEAD, 1, 0};
    const int size = picture->size, wide = picture->planes_px;
    const int planes_times = size / wide, grid_times = size / GRID;
    const int cells = size / CELL + 1;
    const size_t pixels = (size_t)size * size;
    float flows[2 * REFERENCES][GRID + 2], planes[PLANES][MOST_PLANES_PX + 2];
    for (int y = first; y < end; y++) {
        const float grid_y = ((float)y + 0.5f) / (float)grid_times - 0.5f;
        for (int i = 0; i < 2 * REFERENCES; i++)
            line_between(picture->flow + i * GRID * GRID, GRID, grid_y, 0.5f * (float)size, flows[i]);
        const float planes_y = ((float)y + 0.5f) / (float)planes_times - 0.5f;
        for (int i = 0; i < PLANES; i++)
            line_between(picture->planes + (size_t)i * wide * wide, wide, planes_y, 1, planes[i]);

        for (int x = 0; x < size; x += SEGMENT) {
            float4 sum[SEGMENT];
            float through[SEGMENT];  // how much of what lies behind is seen
            memset(sum, 0, sizeof sum);
            for (int i = 0; i < SEGMENT; i++) through[i] = 1;

            int painted[REFERENCES];
            const int left = x / grid_times, steps = SEGMENT / grid_times + 2;  // of the lines' places
            for (int r = 0; r < REFERENCES; r++) {
                const float *dx = flows[2 * r] + left, *dy = flows[2 * r + 1] + left;
                float low_x = dx[0], high_x = dx[0], low_y = dy[0], high_y = dy[0];
                for (int i = 1; i < steps; i++) {
                    low_x = dx[i] < low_x ? dx[i] : low_x;
                    high_x = dx[i] > high_x ? dx[i] : high_x;
                    low_y = dy[i] < low_y ? dy[i] : low_y;
                    high_y = dy[i] > high_y ? dy[i] : high_y;
                }
                painted[r] = holds_paint(
                    picture->occupied + (size_t)r * cells * cells, size, (float)x + low_x, (float)y + low_y,
                    (float)(x + SEGMENT - 1) + high_x, (float)y + high_y);
            }

            for (int step = 0; step < 4; step++) {
                const int layer = from_the_front[step];
                float4 paint[SEGMENT];
                float keep[SEGMENT], dx[SEGMENT], dy[SEGMENT], most;
                if (layer == HEAD) {
                    float opened[SEGMENT], drawn[SEGMENT], least = 1, most_drawn = 0;
                    spread(planes[DRAWN], planes_times, x, drawn);
                    most = 0;
                    for (int i = 0; i < SEGMENT; i++) most_drawn = drawn[i] > most_drawn ? drawn[i] : most_drawn;
                    if (!painted[HEAD] && !painted[OPEN] && most_drawn < NOTHING) continue;
                    spread(planes[KEEP + layer], planes_times, x, keep);
                    spread(planes[OPENED], planes_times, x, opened);
                    for (int i = 0; i < SEGMENT; i++) {
                        most = opened[i] > most ? opened[i] : most;
                        least = opened[i] < least ? opened[i] : least;
                    }
                    if (painted[HEAD] && least < 1 - NOTHING) {
                        spread(flows[2 * HEAD], grid_times, x, dx);
                        spread(flows[2 * HEAD + 1], grid_times, x, dy);
                        sample(picture->references + 4 * HEAD * pixels, size, x, y, dx, dy, paint);
                        if (most >= NOTHING)
                            for (int i = 0; i < SEGMENT; i++) paint[i] *= 1 - opened[i];
                    } else {
                        memset(paint, 0, sizeof paint);
                    }
                    if (painted[OPEN] && most >= NOTHING) {
                        float4 open[SEGMENT];
                        spread(flows[2 * OPEN], grid_times, x, dx);
                        spread(flows[2 * OPEN + 1], grid_times, x, dy);
                        sample(picture->references + 4 * OPEN * pixels, size, x, y, dx, dy, open);
                        for (int i = 0; i < SEGMENT; i++) paint[i] += opened[i] * open[i];
                    }
                    for (int i = 0; i < SEGMENT; i++) paint[i] *= keep[i];
                    if (most_drawn >= NOTHING) {
                        float drawing[4][SEGMENT];
                        for (int c = 0; c < 4; c++) spread(planes[DRAWING + c], planes_times, x, drawing[c]);
                        for (int i = 0; i < SEGMENT; i++) {
                            const float4 colour = {drawing[0][i], drawing[1][i], drawing[2][i], drawing[3][i]};
                            paint[i] = paint[i] * (1 - drawn[i]) + colour * (255 * drawn[i]);
                        }
                    }
                } else {
                    if (!painted[layer]) continue;
                    spread(planes[KEEP + layer], planes_times, x, keep);
                    most = 0;
                    for (int i = 0; i < SEGMENT; i++) {
                        const float seen = keep[i] * through[i];  // below 0 behind what is more than solid
                        most = seen > most ? seen : -seen > most ? -seen : most;
                    }
                    if (most < NOTHING) continue;
                    spread(flows[2 * layer], grid_times, x, dx);
                    spread(flows[2 * layer + 1], grid_times, x, dy);
                    sample(picture->references + 4 * layer * pixels, size, x, y, dx, dy, paint);
                    for (int i = 0; i < SEGMENT; i++) paint[i] *= keep[i];
                }
                for (int i = 0; i < SEGMENT; i++) {
                    sum[i] += through[i] * paint[i];
                    through[i] *= 1 - paint[i][3] * (1.0f / 255);
                }
            }

            uint8_t *out = picture->out + 4 * ((size_t)y * size + x);
            for (int i = 0; i < SEGMENT; i++) {
                const float alpha = sum[i][3];
                const float stretched = (alpha * (1.0f / 255) - picture->clear) * picture->gain;
                float4 straight = sum[i] * (alpha > 1 ? 255 / alpha : 0);
                straight[3] = 255 * stretched;
                for (int c = 0; c < 4; c++) out[4 * i + c] = (uint8_t)(within(straight[c], 255) + 0.5f);
            }
        }
    }
}

#undef sample
#undef beyond_edges
#undef add_two
#undef cubic
#undef holds_paint
#undef spread
#undef line_between
#undef within
#undef NAMED
#undef PASTE

#endif
