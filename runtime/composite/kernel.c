// From motion to a picture on a processor: layers moved by flows and put over each other, row by row.
//
// The definition is training/animator/composite.py; tests hold this to it. Written for Clang: `python -m
// runtime.composite.build` compiles it, once for processors with AVX2 and once for those without, and the kernel
// chooses when it is called.
//
// Layers are put together from the front to the back, so that what is hidden costs nothing. For each stretch of SEGMENT
// pixels a table of sums says whether the place that a layer's paint would come from holds any paint at all. Colours lie
// channel by channel meanwhile, so that one instruction works on eight pixels.
//
// What a network says may be anything, also no number at all: `within` makes that 0, and every place read lies inside of
// its picture. So this must not be compiled with -ffast-math.

#ifndef ROWS  // the outer file: what does not depend on the processor, then the same rows for each

#include <stdint.h>
#include <string.h>

#define LAYERS 5      // back, body, inner, head, front
#define REFERENCES 6  // and open
#define HEAD 3
#define OPEN 5
#define PLANES 11  // keep of each layer; open; drawn; red, green, blue, alpha
#define KEEP 0
#define OPENED 5
#define DRAWN 6
#define DRAWING 7
#define GRID 64
#define MOST_PX 2048
#define MOST_PLANES_PX 512
#define SEGMENT 32
#define NOTHING (1.0f / 512)  // less than half of a 255th
#define CELL 8  // pixels per side of a cell of `occupied`
#define BAND 16  // rows that one thread draws at a time

typedef float float4 __attribute__((vector_size(16)));
typedef float float8 __attribute__((vector_size(32)));
typedef int32_t integer8 __attribute__((vector_size(32)));
typedef uint32_t word8 __attribute__((vector_size(32)));
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
#include <cpuid.h>
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#define WITH_AVX2
#define ROWS rows_with_avx2
#include "kernel.c"
#undef ROWS
#undef WITH_AVX2
#pragma clang attribute pop

static int has_avx2(void) {
    uint32_t a, b, c, d, saved, upper;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(upper) : "c"(0));
    if ((saved & 6) != 6) return 0;  // the system does not save its registers
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2);
}
#endif

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

// Give clear pixels beside the figure its colour, so that a texture filter mixes in no black. The rows above and below
// must be drawn; only their colours may still change, and only where they are clear.
static void bleed(const Picture *picture, int first, int end) {
    const int size = picture->size;
    for (int y = first; y < end; y++) {
        uint8_t *row = picture->out + (size_t)4 * size * y;
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

typedef void Rows(const Picture *picture, int first, int end);

// Draw bands of a picture until none is left. Whoever draws the last of a band and its neighbours makes its colours bleed.
static void draw(const Picture *picture, int32_t *bands, Rows *rows) {
    const int count = picture->size / BAND;
    int32_t *drawn = bands + 1;  // of each band and its neighbours, how many are
    for (;;) {
        const int band = __atomic_fetch_add(bands, 1, __ATOMIC_RELAXED);
        if (band >= count) return;
        rows(picture, band * BAND, (band + 1) * BAND);
        for (int other = band ? band - 1 : 0; other <= band + 1 && other < count; other++) {
            const int wanted = 3 - (other == 0) - (other == count - 1);
            if (__atomic_add_fetch(drawn + other, 1, __ATOMIC_ACQ_REL) == wanted)
                bleed(picture, other * BAND, (other + 1) * BAND);
        }
    }
}

#if defined(_WIN32)
#define EXPORT __attribute__((dllexport))
#else
#define EXPORT __attribute__((visibility("default")))
#endif

// Changes whenever a function, `Picture` or the meaning of anything in it does.
EXPORT int32_t bunraku_composite_version(void) { return 4; }

// Draw a picture. Several threads may call this for the same one: each does a share, and when all have returned it is
// whole. `bands` has one number more than the picture has bands of BAND rows, all 0 before the first call.
EXPORT void bunraku_composite_draw(const Picture *picture, int32_t *bands) {
#if defined(__x86_64__)
    if (has_avx2()) {
        draw(picture, bands, rows_with_avx2);
        return;
    }
#endif
    draw(picture, bands, rows_of_any);
}

// The same without what newer processors have.
EXPORT void bunraku_composite_draw_of_any(const Picture *picture, int32_t *bands) { draw(picture, bands, rows_of_any); }

#else  // the rows, for one kind of processor

#define PASTE(a, b) a##_##b
#define NAMED(name, rows) PASTE(name, rows)
#define within NAMED(within, ROWS)
#define all_within NAMED(all_within, ROWS)
#define largest NAMED(largest, ROWS)
#define line_between NAMED(line_between, ROWS)
#define spread NAMED(spread, ROWS)
#define find_paint NAMED(find_paint, ROWS)
#define cubic NAMED(cubic, ROWS)
#define prepare NAMED(prepare, ROWS)
#define mixed NAMED(mixed, ROWS)
#define beyond_edges NAMED(beyond_edges, ROWS)
#define by_channel NAMED(by_channel, ROWS)
#define sample NAMED(sample, ROWS)

// 0 to `last`; 0 for what is no number.
static inline float within(float value, float last) {
    value = value > 0 ? value : 0;
    return value < last ? value : last;
}

// The same for eight at once.
static inline void all_within(float8 *values, float last) {
    const float8 none = {0};
    *values = __builtin_elementwise_min(__builtin_elementwise_max(*values, none), none + last);
}

// The largest of SEGMENT values.
static inline float largest(const float *values) {
    float8 most, next;
    memcpy(&most, values, sizeof most);
    for (int i = 8; i < SEGMENT; i += 8) {
        memcpy(&next, values + i, sizeof next);
        most = __builtin_elementwise_max(most, next);
    }
    return __builtin_reduce_max(most);
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

// Which references hold paint that may come to rows of a picture: for every SEGMENT of pixels, a bit each.
static inline void find_paint(const Picture *picture, int first, int end, uint8_t *restrict painted) {
    const int size = picture->size, times = size / GRID, cells = size / CELL + 1;
    const float half = 0.5f * (float)size, last = (float)size - 1;
    // All places of the flow between which these rows and a segment's pixels lie.
    const int above = 2 * first < times ? 0 : (2 * first - times) / (2 * times);
    const int below = (2 * end + times) / (2 * times) < GRID ? (2 * end + times) / (2 * times) : GRID - 1;
    memset(painted, 0, (size_t)(size / SEGMENT));
    for (int r = 0; r < REFERENCES; r++) {
        float low[2][GRID], high[2][GRID];
        for (int axis = 0; axis < 2; axis++) {
            const float *flow = picture->flow + ((size_t)2 * r + axis) * GRID * GRID;
            memcpy(low[axis], flow + above * GRID, sizeof low[axis]);
            memcpy(high[axis], flow + above * GRID, sizeof high[axis]);
            for (int y = above + 1; y <= below; y++)
                for (int x = 0; x < GRID; x++) {
                    const float value = flow[y * GRID + x];
                    low[axis][x] = value < low[axis][x] ? value : low[axis][x];
                    high[axis][x] = value > high[axis][x] ? value : high[axis][x];
                }
        }
        const uint32_t *sums = picture->occupied + (size_t)r * cells * cells;
        for (int x = 0; x < size; x += SEGMENT) {
            const int from = 2 * x < times ? 0 : (2 * x - times) / (2 * times);
            const int to = (2 * (x + SEGMENT) + times) / (2 * times);
            float box[4] = {low[0][from], low[1][from], high[0][from], high[1][from]};
            for (int i = from + 1; i <= to && i < GRID; i++) {
                box[0] = low[0][i] < box[0] ? low[0][i] : box[0];
                box[1] = low[1][i] < box[1] ? low[1][i] : box[1];
                box[2] = high[0][i] > box[2] ? high[0][i] : box[2];
                box[3] = high[1][i] > box[3] ? high[1][i] : box[3];
            }
            // A sample also takes its neighbours.
            const int x0 = (int)within((float)x + half * box[0] - 1, last) / CELL;
            const int y0 = (int)within((float)first + half * box[1] - 1, last) / CELL;
            const int x1 = (int)within((float)(x + SEGMENT) + half * box[2] + 1, last) / CELL + 1;
            const int y1 = (int)within((float)end + half * box[3] + 1, last) / CELL + 1;
            const uint32_t *top = sums + y0 * cells, *bottom = sums + y1 * cells;
            painted[x / SEGMENT] |= (uint8_t)((bottom[x1] - bottom[x0] != top[x1] - top[x0]) << r);
        }
    }
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

// The 4x4 pixels right and below of (column, row), where the edges of the reference go on.
static inline void beyond_edges(const uint8_t *reference, int size, int column, int row, uint8_t *block) {
    for (int i = 0; i < 16; i++) {
        int from_x = column + i % 4, from_y = row + i / 4;
        from_x = from_x < 0 ? 0 : from_x < size ? from_x : size - 1;
        from_y = from_y < 0 ? 0 : from_y < size ? from_y : size - 1;
        memcpy(block + 4 * i, reference + 4 * ((size_t)from_y * size + from_x), 4);
    }
}

// SEGMENT pixels, times `scale`, channel by channel. Cubic convolution overshoots beside edges; paint stays paint.
static inline void by_channel(const float4 *pixels, float scale, float (*restrict paint)[SEGMENT]) {
    for (int i = 0; i < SEGMENT; i += 4) {
        const float4 *at = pixels + i;
        const float4 low = __builtin_shufflevector(at[0], at[1], 0, 4, 1, 5);  // red, red, green, green
        const float4 high = __builtin_shufflevector(at[0], at[1], 2, 6, 3, 7);
        const float4 low_on = __builtin_shufflevector(at[2], at[3], 0, 4, 1, 5);
        const float4 high_on = __builtin_shufflevector(at[2], at[3], 2, 6, 3, 7);
        const float4 channels[4] = {
            __builtin_shufflevector(low, low_on, 0, 1, 4, 5), __builtin_shufflevector(low, low_on, 2, 3, 6, 7),
            __builtin_shufflevector(high, high_on, 0, 1, 4, 5), __builtin_shufflevector(high, high_on, 2, 3, 6, 7)};
        for (int c = 0; c < 4; c++) memcpy(paint[c] + i, &channels[c], sizeof channels[c]);
    }
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < SEGMENT; i += 8) {
            float8 values;
            memcpy(&values, paint[c] + i, sizeof values);
            values *= scale;
            all_within(&values, 255);
            memcpy(paint[c] + i, &values, sizeof values);
        }
}

#if defined(WITH_AVX2)

// Shares as whole numbers of 16 bits, 1 being ONE: half the width of floats, so twice as many at once. Products keep six
// bits behind the point, a 64th of a 255th.
#define ONE 16384

typedef struct {
    int32_t across[2][SEGMENT];  // for the first two pixels beside each other, and for the others
    int32_t down[4][SEGMENT];    // without their signs, each twice
} NAMED(Shares, ROWS);

static inline void prepare(const float *right, const float *lower, NAMED(Shares, ROWS) *restrict shares) {
    float along[4][SEGMENT], down[4][SEGMENT];
    cubic(right, along);
    cubic(lower, down);
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < SEGMENT; i++) {
            // The outer two of the four are never above 0, the inner two never below.
            const int32_t outer = (int32_t)(along[3 * half][i] * ONE - 0.5f);
            const int32_t inner = (int32_t)(along[1 + half][i] * ONE + 0.5f);
            const int32_t first = half ? inner : outer, second = half ? outer : inner;
            shares->across[half][i] = (int32_t)(((uint32_t)second << 16) | ((uint32_t)first & 0xffff));
        }
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < SEGMENT; i++)
            shares->down[k][i] = (int32_t)(__builtin_fabsf(down[k][i]) * ONE + 0.5f) * 0x10001;
}

// One pixel of 4x4, in 64ths of 255ths times ONE.
static inline float4 mixed(const uint8_t *block, size_t step, const NAMED(Shares, ROWS) *shares, int i) {
    // Bytes to the upper halves of words: each channel of the first and second pixel side by side, then of the others.
    const __m256i order = _mm256_setr_epi8(
        -1, 0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7,
        -1, 8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15);
    __m256i rows[4];
    for (int k = 0; k < 4; k++) {
        const __m128i pixels = _mm_loadu_si128((const __m128i *)(block + k * step));
        const __m256i words = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), order);
        rows[k] = _mm256_mulhi_epu16(words, _mm256_set1_epi32(shares->down[k][i]));
    }
    const __m256i columns = _mm256_sub_epi16(_mm256_add_epi16(rows[1], rows[2]), _mm256_add_epi16(rows[0], rows[3]));
    const __m256i across = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_set1_epi32(shares->across[0][i])), _mm_set1_epi32(shares->across[1][i]), 1);
    const __m256i pairs = _mm256_madd_epi16(columns, across);
    const __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    return (float4)_mm_cvtepi32_ps(sum);
}

#define SCALE (1.0f / 64 / ONE)

#else

typedef struct {
    float along[4][SEGMENT], down[4][SEGMENT];
} NAMED(Shares, ROWS);

static inline void prepare(const float *right, const float *lower, NAMED(Shares, ROWS) *restrict shares) {
    cubic(right, shares->along);
    cubic(lower, shares->down);
}

// One pixel of 4x4, in 255ths.
static inline float4 mixed(const uint8_t *block, size_t step, const NAMED(Shares, ROWS) *shares, int i) {
    float8 left = {0}, right = {0};
    for (int k = 0; k < 4; k++) {
        byte8 bytes[2];
        memcpy(bytes, block + k * step, sizeof bytes);
        left += shares->down[k][i] * __builtin_convertvector(bytes[0], float8);
        right += shares->down[k][i] * __builtin_convertvector(bytes[1], float8);
    }
    return shares->along[0][i] * __builtin_shufflevector(left, left, 0, 1, 2, 3)
           + shares->along[1][i] * __builtin_shufflevector(left, left, 4, 5, 6, 7)
           + shares->along[2][i] * __builtin_shufflevector(right, right, 0, 1, 2, 3)
           + shares->along[3][i] * __builtin_shufflevector(right, right, 4, 5, 6, 7);
}

#define SCALE 1

#endif

// SEGMENT pixels of a reference by channel, in 255ths.
static inline void sample(
    const uint8_t *restrict reference, int size, int x, int y, const float *restrict dx, const float *restrict dy,
    float (*restrict paint)[SEGMENT]) {
    float px[SEGMENT], py[SEGMENT], right[SEGMENT], lower[SEGMENT];
    int32_t columns[SEGMENT], rows[SEGMENT];
    for (int i = 0; i < SEGMENT; i++) {
        px[i] = (float)(x + i) + dx[i] + 2;
        py[i] = (float)y + dy[i] + 2;
    }
    for (int i = 0; i < SEGMENT; i += 8) {
        // From 2 before the first pixel, where the edge is all that is seen, to 2 behind the last.
        float8 columns_on, rows_on;
        memcpy(&columns_on, px + i, sizeof columns_on);
        memcpy(&rows_on, py + i, sizeof rows_on);
        all_within(&columns_on, (float)size + 3);
        all_within(&rows_on, (float)size + 3);
        memcpy(px + i, &columns_on, sizeof columns_on);
        memcpy(py + i, &rows_on, sizeof rows_on);
    }
    for (int i = 0; i < SEGMENT; i++) {
        const int column = (int)px[i], row = (int)py[i];
        columns[i] = column - 3;
        rows[i] = row - 3;
        right[i] = px[i] - (float)column;
        lower[i] = py[i] - (float)row;
    }
    NAMED(Shares, ROWS) shares;
    prepare(right, lower, &shares);
    float4 pixels[SEGMENT];
    for (int i = 0; i < SEGMENT; i++) {
        const int column = columns[i], row = rows[i];
        uint8_t edge[64];
        const uint8_t *block = edge;
        size_t step = 16;
        if (column >= 0 && row >= 0 && column <= size - 4 && row <= size - 4) {
            step = (size_t)4 * size;
            block = reference + (size_t)row * step + (size_t)4 * column;
            // Two rows of the picture on, this row is read for the first time: no pattern tells the processor.
            if (i % 8 == 0) __builtin_prefetch(block + 5 * step);
        } else {
            beyond_edges(reference, size, column, row, edge);
        }
        pixels[i] = mixed(block, step, &shares, i);
    }
    by_channel(pixels, SCALE, paint);
}

#undef SCALE

static void ROWS(const Picture *picture, int first, int end) {
    const int size = picture->size, wide = picture->planes_px;
    const int planes_times = size / wide, grid_times = size / GRID;
    const size_t pixels = (size_t)size * size;
    float flows[2 * REFERENCES][GRID + 2], planes[PLANES][MOST_PLANES_PX + 2];
    uint8_t all_painted[MOST_PX / SEGMENT];
    find_paint(picture, first, end, all_painted);
    for (int y = first; y < end; y++) {
        const float grid_y = ((float)y + 0.5f) / (float)grid_times - 0.5f;
        for (int i = 0; i < 2 * REFERENCES; i++)
            line_between(picture->flow + i * GRID * GRID, GRID, grid_y, 0.5f * (float)size, flows[i]);
        const float planes_y = ((float)y + 0.5f) / (float)planes_times - 0.5f;
        for (int i = 0; i < PLANES; i++)
            line_between(picture->planes + (size_t)i * wide * wide, wide, planes_y, 1, planes[i]);

        for (int x = 0; x < size; x += SEGMENT) {
            float sum[4][SEGMENT];
            float through[SEGMENT];  // how much of what lies behind is seen
            memset(sum, 0, sizeof sum);
            for (int i = 0; i < SEGMENT; i++) through[i] = 1;

            const int painted = all_painted[x / SEGMENT];
            const int has_head = painted >> HEAD & 1, has_open = painted >> OPEN & 1;
            for (int layer = LAYERS - 1; layer >= 0; layer--) {
                float paint[4][SEGMENT];
                float keep[SEGMENT], dx[SEGMENT], dy[SEGMENT];
                if (layer == HEAD) {
                    float opened[SEGMENT], closed[SEGMENT], drawn[SEGMENT];
                    spread(planes[DRAWN], planes_times, x, drawn);
                    const float most_drawn = largest(drawn);
                    if (!has_head && !has_open && most_drawn < NOTHING) continue;
                    spread(planes[KEEP + layer], planes_times, x, keep);
                    spread(planes[OPENED], planes_times, x, opened);
                    for (int i = 0; i < SEGMENT; i++) closed[i] = 1 - opened[i];
                    const float most = largest(opened);
                    if (has_head && largest(closed) >= NOTHING) {
                        spread(flows[2 * HEAD], grid_times, x, dx);
                        spread(flows[2 * HEAD + 1], grid_times, x, dy);
                        sample(picture->references + 4 * HEAD * pixels, size, x, y, dx, dy, paint);
                        if (most >= NOTHING)
                            for (int c = 0; c < 4; c++)
                                for (int i = 0; i < SEGMENT; i++) paint[c][i] *= closed[i];
                    } else {
                        memset(paint, 0, sizeof paint);
                    }
                    if (has_open && most >= NOTHING) {
                        float open[4][SEGMENT];
                        spread(flows[2 * OPEN], grid_times, x, dx);
                        spread(flows[2 * OPEN + 1], grid_times, x, dy);
                        sample(picture->references + 4 * OPEN * pixels, size, x, y, dx, dy, open);
                        for (int c = 0; c < 4; c++)
                            for (int i = 0; i < SEGMENT; i++) paint[c][i] += opened[i] * open[c][i];
                    }
                    for (int c = 0; c < 4; c++)
                        for (int i = 0; i < SEGMENT; i++) paint[c][i] *= keep[i];
                    if (most_drawn >= NOTHING)
                        for (int c = 0; c < 4; c++) {
                            float colour[SEGMENT];
                            spread(planes[DRAWING + c], planes_times, x, colour);
                            for (int i = 0; i < SEGMENT; i++)
                                paint[c][i] += drawn[i] * (255 * colour[i] - paint[c][i]);
                        }
                } else {
                    if (!(painted >> layer & 1)) continue;
                    spread(planes[KEEP + layer], planes_times, x, keep);
                    float seen[SEGMENT];
                    for (int i = 0; i < SEGMENT; i++)
                        seen[i] = __builtin_fabsf(keep[i] * through[i]);  // below 0 behind what is more than solid
                    if (largest(seen) < NOTHING) continue;
                    spread(flows[2 * layer], grid_times, x, dx);
                    spread(flows[2 * layer + 1], grid_times, x, dy);
                    sample(picture->references + 4 * layer * pixels, size, x, y, dx, dy, paint);
                    for (int c = 0; c < 4; c++)
                        for (int i = 0; i < SEGMENT; i++) paint[c][i] *= keep[i];
                }
                for (int c = 0; c < 4; c++)
                    for (int i = 0; i < SEGMENT; i++) sum[c][i] += through[i] * paint[c][i];
                for (int i = 0; i < SEGMENT; i++) through[i] *= 1 - paint[3][i] * (1.0f / 255);
            }

            uint32_t out[SEGMENT];
            for (int i = 0; i < SEGMENT; i += 8) {
                const float8 none = {0};
                float8 channels[4];
                for (int c = 0; c < 4; c++) memcpy(&channels[c], sum[c] + i, sizeof channels[c]);
                const float8 alpha = channels[3];
                const integer8 seen = (integer8)(255 / alpha) & (alpha > none + 1);
                for (int c = 0; c < 3; c++) channels[c] *= (float8)seen;
                channels[3] = 255 * picture->gain * (alpha * (1.0f / 255) - picture->clear);
                word8 eight = {0};
                for (int c = 0; c < 4; c++) {
                    all_within(&channels[c], 255);
                    eight |= (word8)__builtin_convertvector(channels[c] + 0.5f, integer8) << (8 * c);
                }
                memcpy(out + i, &eight, sizeof eight);
            }
            memcpy(picture->out + 4 * ((size_t)y * size + x), out, sizeof out);
        }
    }
}

#undef sample
#undef by_channel
#undef beyond_edges
#undef mixed
#undef prepare
#undef cubic
#undef find_paint
#undef spread
#undef line_between
#undef largest
#undef all_within
#undef within
#undef NAMED
#undef PASTE

#endif
