/* CPython binding of the kernels: buffers in, buffers out; the GIL is released while a kernel runs. What is allocated
 * without it, or handed on without it, comes from malloc. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "firstlight.h"

/* ---- errors and buffers ------------------------------------------------------------------------------------------ */

static PyObject *raise_status(fl_status status, const char *what) {
    static const char *const NAMES[] = {"CodecError",      "InsufficientData",  "CorruptData",
                                        "InvalidArgument", "UnsupportedFormat", "CodecError"};
    static const char *const TEXTS[] = {"unknown failure",
                                        "the data end before it does",
                                        "not a valid stream, or damaged",
                                        "arguments contradict each other or the head",
                                        "a format version or codec that this version does not read",
                                        "output buffer too small"};
    PyObject *module = PyImport_ImportModule("firstlight.codecs.errors");
    if (!module) return NULL;
    PyObject *type = PyObject_GetAttrString(module, NAMES[status]);
    Py_DECREF(module);
    if (!type) return NULL;
    PyErr_Format(type, "%s: %s", what, TEXTS[status]);
    Py_DECREF(type);
    return NULL;
}

static int get_buffer(PyObject *object, Py_buffer *view, int writable) {
    return PyObject_GetBuffer(object, view, writable ? PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE : PyBUF_C_CONTIGUOUS);
}

/* A private, aligned copy of the caller's raw fl_info. */
static int get_info(PyObject *object, fl_info *info) {
    Py_buffer view;
    if (get_buffer(object, &view, 0) < 0) return -1;
    int fits = view.len == (Py_ssize_t)sizeof *info;
    if (fits) memcpy(info, view.buf, sizeof *info);
    PyBuffer_Release(&view);
    if (!fits) PyErr_SetString(PyExc_ValueError, "info: not a raw fl_info");
    return fits ? 0 : -1;
}

static PyObject *info_bytes(const fl_info *info) {
    return PyBytes_FromStringAndSize((const char *)info, (Py_ssize_t)sizeof *info);
}

static int check_length(const Py_buffer *view, size_t bytes, const char *what) {
    if ((size_t)view->len >= bytes) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %zd bytes given, %zu needed", what, view->len, bytes);
    return -1;
}

/* The value table: None where there is none. `view` is to be released if its obj is set. */
static int get_values(PyObject *object, const fl_info *info, Py_buffer *view) {
    view->obj = NULL;
    view->buf = NULL;
    if (info->values == 0) return 0;
    if (get_buffer(object, view, 0) < 0) return -1;
    if (check_length(view, info->values * sizeof(uint16_t), "values") == 0) return 0;
    PyBuffer_Release(view);
    return -1;
}

/* ---- heads ------------------------------------------------------------------------------------------------------- */

static PyObject *head_size(PyObject *self, PyObject *object) {
    (void)self;
    Py_buffer view;
    fl_info info;
    if (get_buffer(object, &view, 0) < 0) return NULL;
    fl_status status = fl_head_parse(view.buf, (size_t)view.len, FL_MAX_GROUPS, &info);
    PyBuffer_Release(&view);
    if (status != FL_OK && status != FL_INSUFFICIENT) return raise_status(status, "shard head");
    return PyLong_FromUnsignedLong(info.head_size);
}

static PyObject *parse_head(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *object;
    unsigned groups = FL_MAX_GROUPS;
    Py_buffer view;
    fl_info info;
    if (!PyArg_ParseTuple(args, "O|I", &object, &groups) || get_buffer(object, &view, 0) < 0) return NULL;
    PyObject *offsets = NULL, *values = NULL, *result = NULL;
    fl_status status = fl_head_parse(view.buf, (size_t)view.len, groups, &info);
    if (status == FL_OK) {
        values = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)info.values * (Py_ssize_t)sizeof(uint16_t));
        if (values)
            status = fl_head_values(view.buf, (size_t)view.len, &info, (uint16_t *)(void *)PyBytes_AsString(values));
    }
    if (values && status == FL_OK) {
        offsets = PyBytes_FromStringAndSize(NULL, ((Py_ssize_t)info.segments + 1) * (Py_ssize_t)sizeof(uint32_t));
        if (offsets)
            status = fl_head_index(view.buf, (size_t)view.len, &info, (uint32_t *)(void *)PyBytes_AsString(offsets));
    }
    PyBuffer_Release(&view);
    if (status != FL_OK)
        raise_status(status, "shard head");
    else if (offsets)
        result = Py_BuildValue("(NOO)", info_bytes(&info), offsets, values);
    Py_XDECREF(offsets);
    Py_XDECREF(values);
    return result;
}

static PyObject *plan_head(PyObject *self, PyObject *args) {
    (void)self;
    fl_info info;
    unsigned layers = 1;
    PyObject *starts = NULL;
    memset(&info, 0, sizeof info);
    info.groups = 1;
    if (!PyArg_ParseTuple(args, "IIIIpIII|IO!", &info.width, &info.height, &info.components, &info.bits,
                          (int *)&info.is_signed, &info.colour, &info.transform, &info.values, &layers, &PyTuple_Type,
                          &starts))
        return NULL;
    for (Py_ssize_t i = 0; starts && i < PyTuple_Size(starts); i++) {
        unsigned long start = PyLong_AsUnsignedLong(PyTuple_GetItem(starts, i));
        if (PyErr_Occurred()) return NULL;
        if (info.groups == FL_MAX_GROUPS || start >= FL_MAX_LAYERS) return raise_status(FL_INVALID, "groups of layers");
        info.group_start[info.groups++] = (uint32_t)start;
    }
    info.codec = FL_CODEC_WAVELET;
    info.level[0].layers = layers;
    fl_status status = fl_head_plan(&info);
    return status == FL_OK ? info_bytes(&info) : raise_status(status, "shard geometry");
}

static PyObject *write_head(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *values_object, *lengths_object, *result = NULL;
    fl_info info;
    Py_buffer values, lengths;
    if (!PyArg_ParseTuple(args, "OOO", &info_object, &values_object, &lengths_object) ||
        get_info(info_object, &info) < 0 || get_values(values_object, &info, &values) < 0)
        return NULL;
    if (get_buffer(lengths_object, &lengths, 0) < 0) {
        if (values.obj) PyBuffer_Release(&values);
        return NULL;
    }
    if (check_length(&lengths, (size_t)info.segments * sizeof(uint32_t), "lengths") == 0) {
        /* Fixed fields and tables are below 2 KB, a length is 5 bytes at most, a run of values 6, twice. */
        size_t capacity = 2048 + (size_t)info.segments * 5 + (size_t)info.values * 12, written = 0;
        uint8_t *out = PyMem_Malloc(capacity);
        if (!out) {
            PyErr_NoMemory();
        } else {
            fl_status status = fl_head_write(&info, values.buf, lengths.buf, out, capacity, &written);
            result = status == FL_OK ? PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)written)
                                     : raise_status(status, "shard head");
            PyMem_Free(out);
        }
    }
    if (values.obj) PyBuffer_Release(&values);
    PyBuffer_Release(&lengths);
    return result;
}

static PyObject *crc32c(PyObject *self, PyObject *object) {
    (void)self;
    Py_buffer view;
    if (get_buffer(object, &view, 0) < 0) return NULL;
    uint32_t crc = fl_crc32c(view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLong(crc);
}

static PyObject *set_mse(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *mse_object;
    fl_info info;
    Py_buffer mse;
    if (!PyArg_ParseTuple(args, "OO", &info_object, &mse_object) || get_info(info_object, &info) < 0) return NULL;
    if (get_buffer(mse_object, &mse, 0) < 0) return NULL;
    PyObject *result = NULL;
    if (check_length(&mse, (info.levels + 1) * (FL_MAX_LAYERS + 1) * sizeof(double), "mse") == 0) {
        const double *value = mse.buf;
        for (uint32_t k = 0; k <= info.levels; k++, value += FL_MAX_LAYERS + 1)
            for (uint32_t n = 0; n <= info.level[k].layers; n++) info.level[k].mse[n] = fl_mse_code(value[n]);
        result = info_bytes(&info);
    }
    PyBuffer_Release(&mse);
    return result;
}

/* ---- wavelet transform ------------------------------------------------------------------------------------------- */

/* Last sample that strides reach, to check a buffer's length; -1 when a stride is negative beyond the start. */
static Py_ssize_t reach(Py_ssize_t offset, const Py_ssize_t *stride, const size_t *count) {
    Py_ssize_t low = offset, high = offset;
    for (int i = 0; i < 3; i++) {
        Py_ssize_t step = stride[i] * (Py_ssize_t)(count[i] - 1);
        *(step < 0 ? &low : &high) += step;
    }
    return low < 0 ? -1 : high;
}

static size_t planes_bytes(const fl_info *info) {
    return (size_t)info->components * info->width * info->height * sizeof(int32_t);
}

static PyObject *forward(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *samples_object, *planes_object, *result = NULL;
    Py_ssize_t stride[3];
    fl_info info;
    Py_buffer samples, planes;
    if (!PyArg_ParseTuple(args, "OO(nnn)O", &info_object, &samples_object, &stride[0], &stride[1], &stride[2],
                          &planes_object) ||
        get_info(info_object, &info) < 0)
        return NULL;
    if (get_buffer(samples_object, &samples, 0) < 0) return NULL;
    if (get_buffer(planes_object, &planes, 1) < 0) {
        PyBuffer_Release(&samples);
        return NULL;
    }
    size_t count[3] = {info.components, info.height, info.width}, sample = info.bits > 8 ? 2 : 1;
    Py_ssize_t last = reach(0, stride, count);
    if (last < 0) {
        PyErr_SetString(PyExc_ValueError, "samples: strides must not be negative");
    } else if (check_length(&samples, ((size_t)last + 1) * sample, "samples") == 0 &&
               check_length(&planes, planes_bytes(&info), "planes") == 0) {
        void *workspace = PyMem_Malloc(fl_wavelet_forward_workspace(&info));
        fl_status status = FL_OK;
        if (workspace) {
            Py_BEGIN_ALLOW_THREADS;
            status = fl_wavelet_forward(&info, samples.buf, stride[0], stride[1], stride[2], planes.buf, workspace);
            Py_END_ALLOW_THREADS;
            PyMem_Free(workspace);
            result = status == FL_OK ? Py_NewRef(Py_None) : raise_status(status, "samples wider than the head's bits");
        } else {
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&samples);
    PyBuffer_Release(&planes);
    return result;
}

static PyObject *set_errors(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *planes_object, *reports_object, *values_object, *result = NULL;
    fl_info info;
    Py_buffer planes = {0}, reports = {0}, values;
    if (!PyArg_ParseTuple(args, "OOOO", &info_object, &planes_object, &reports_object, &values_object) ||
        get_info(info_object, &info) < 0 || get_values(values_object, &info, &values) < 0)
        return NULL;
    if (get_buffer(planes_object, &planes, 0) == 0 && get_buffer(reports_object, &reports, 0) == 0 &&
        check_length(&planes, planes_bytes(&info), "planes") == 0 &&
        check_length(&reports, info.tiles * sizeof(fl_tile_report), "reports") == 0) {
        fl_status status;
        Py_BEGIN_ALLOW_THREADS;
        status = fl_wavelet_errors(&info, planes.buf, reports.buf, values.buf);
        Py_END_ALLOW_THREADS;
        result = status == FL_OK ? info_bytes(&info) : raise_status(status, "error table");
    }
    if (values.obj) PyBuffer_Release(&values);
    if (reports.obj) PyBuffer_Release(&reports);
    if (planes.obj) PyBuffer_Release(&planes);
    return result;
}

static PyObject *set_measured(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *layers_object, *apart_object, *values_object, *result = NULL;
    fl_info info;
    Py_buffer layers = {0}, apart = {0}, values;
    if (!PyArg_ParseTuple(args, "OOOO", &info_object, &layers_object, &apart_object, &values_object) ||
        get_info(info_object, &info) < 0 || get_values(values_object, &info, &values) < 0)
        return NULL;
    if (get_buffer(layers_object, &layers, 0) == 0 && get_buffer(apart_object, &apart, 0) == 0) {
        const size_t count = (size_t)layers.len / sizeof(uint32_t);
        if (check_length(&apart, count * FL_MEASURED_LEVELS * sizeof(uint32_t), "apart") == 0) {
            fl_status status = fl_wavelet_set_measured(&info, layers.buf, (uint32_t)count, apart.buf, values.buf);
            result = status == FL_OK ? info_bytes(&info) : raise_status(status, "layers");
        }
    }
    if (values.obj) PyBuffer_Release(&values);
    if (apart.obj) PyBuffer_Release(&apart);
    if (layers.obj) PyBuffer_Release(&layers);
    return result;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Blocks for coefficients and scratch, kept to be used again: the system's first touch of a page costs a decoder more
 * than what it does with it. To be used with the GIL. A block's memory follows it. */
typedef struct block {
    size_t size;
    struct block *next;
    void *allocated;
} block;

enum { ALIGNMENT = 64, MOST_IDLE = 32 << 20 };

static block *idle;
static size_t idle_bytes;

/* The smallest that is idle and has `size` bytes, but none of more than `most`. */
static void *take_block(size_t size, size_t most) {
    block **best = NULL;
    for (block **at = &idle; *at; at = &(*at)->next)
        if ((*at)->size >= size && (*at)->size <= most && (!best || (*at)->size < (*best)->size)) best = at;
    if (best) {
        block *found = *best;
        *best = found->next;
        idle_bytes -= found->size;
        return found + 1;
    }
    char *allocated = malloc(size + sizeof(block) + ALIGNMENT);
    if (!allocated) {
        PyErr_NoMemory();
        return NULL;
    }
    uintptr_t first = ((uintptr_t)allocated + sizeof(block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block *made = (block *)(void *)(allocated + (first - (uintptr_t)allocated)) - 1;
    made->size = size;
    made->allocated = allocated;
    return made + 1;
}

/* Not a block that is much too large: that will be wanted for another. */
static void *take_coefs(size_t size) { return take_block(size, 2 * size); }

static void give_block(void *memory) {
    if (!memory) return;
    block *given = (block *)memory - 1;
    if (idle_bytes + given->size > MOST_IDLE) {
        free(given->allocated);
        return;
    }
    idle_bytes += given->size;
    given->next = idle;
    idle = given;
}

/* ---- first look -------------------------------------------------------------------------------------------------- */

/* Arguments of the functions on values: a buffer that begins with the first sample, bytes of a sample, is_signed,
 * (components, height, width), their strides, the least value, a buffer with an item a value, and what comes then. */
typedef struct {
    Py_buffer from, of_values;
    fl_samples samples;
    int low;
    uint32_t range; /* values that `of_values` has items for */
    PyObject *more;
} look;

static int start_look(look *l, PyObject *args, size_t item, int writable) {
    PyObject *from, *of_values;
    fl_samples *s = &l->samples;
    memset(l, 0, sizeof *l);
    if (!PyArg_ParseTuple(args, "OIp(III)(nnn)iO|O", &from, &s->size, (int *)&s->is_signed, &s->count[0], &s->count[1],
                          &s->count[2], &s->stride[0], &s->stride[1], &s->stride[2], &l->low, &of_values, &l->more))
        return 0;
    const size_t count[3] = {s->count[0], s->count[1], s->count[2]};
    const Py_ssize_t last = reach(0, s->stride, count);
    if (last < 0 || s->size < 1 || s->size > 2 || count[0] == 0 || count[1] == 0 || count[2] == 0) {
        PyErr_SetString(PyExc_ValueError, "samples: some, of 1 or 2 bytes, and no negative strides");
        return 0;
    }
    if (get_buffer(from, &l->from, 0) < 0 || get_buffer(of_values, &l->of_values, writable) < 0 ||
        check_length(&l->from, ((size_t)last + 1) * s->size, "samples") < 0)
        return 0;
    s->first = l->from.buf;
    l->range = (uint32_t)((size_t)l->of_values.len / item);
    return 1;
}

static void end_look(look *l) {
    if (l->from.obj) PyBuffer_Release(&l->from);
    if (l->of_values.obj) PyBuffer_Release(&l->of_values);
}

static PyObject *mark_values(PyObject *self, PyObject *args) {
    (void)self;
    look l;
    PyObject *result = NULL;
    if (start_look(&l, args, 1, 1)) {
        const unsigned long enough = l.more ? PyLong_AsUnsignedLong(l.more) : l.range;
        if (!PyErr_Occurred()) {
            uint32_t found;
            Py_BEGIN_ALLOW_THREADS;
            found = fl_values_mark(&l.samples, l.low, l.range, (uint32_t)enough, l.of_values.buf);
            Py_END_ALLOW_THREADS;
            result = PyLong_FromUnsignedLong(found);
        }
    }
    end_look(&l);
    return result;
}

static PyObject *count_values(PyObject *self, PyObject *args) {
    (void)self;
    look l;
    PyObject *result = NULL;
    if (start_look(&l, args, sizeof(uint32_t), 1)) {
        Py_BEGIN_ALLOW_THREADS;
        fl_values_count(&l.samples, l.low, l.range, l.of_values.buf);
        Py_END_ALLOW_THREADS;
        result = Py_NewRef(Py_None);
    }
    end_look(&l);
    return result;
}

static PyObject *place_values(PyObject *self, PyObject *args) {
    (void)self;
    look l;
    Py_buffer to = {0};
    PyObject *result = NULL;
    if (start_look(&l, args, sizeof(uint16_t), 0) && get_buffer(l.more ? l.more : Py_None, &to, 1) == 0) {
        const uint32_t *count = l.samples.count;
        if (check_length(&to, (size_t)count[0] * count[1] * count[2] * l.samples.size, "places") == 0) {
            Py_BEGIN_ALLOW_THREADS;
            fl_values_place(&l.samples, l.low, l.range, l.of_values.buf, to.buf);
            Py_END_ALLOW_THREADS;
            result = Py_NewRef(Py_None);
        }
    }
    if (to.obj) PyBuffer_Release(&to);
    end_look(&l);
    return result;
}

/* Without the GIL: the details of all blocks. */
static fl_status run_details(const fl_info *info, const Py_buffer *samples, const Py_buffer *starts,
                             const Py_ssize_t *stride, void *workspace, int32_t *planes, uint32_t *counts) {
    const uint64_t *start = starts->buf;
    fl_status status = FL_OK;
    for (size_t i = 0; i < (size_t)starts->len / sizeof *start && status == FL_OK; i++) {
        const uint8_t *from = (const uint8_t *)samples->buf + start[i] * (info->bits > 8 ? 2 : 1);
        status = fl_wavelet_forward(info, from, stride[0], stride[1], stride[2], planes, workspace);
        if (status == FL_OK) fl_wavelet_details(info, planes, counts);
    }
    return status;
}

static PyObject *details(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *samples_object, *starts_object, *result = NULL;
    Py_ssize_t stride[3];
    fl_info info;
    Py_buffer samples = {0}, starts = {0};
    uint32_t counts[FL_DETAIL_CODES] = {0};
    if (!PyArg_ParseTuple(args, "OO(nnn)O", &info_object, &samples_object, &stride[0], &stride[1], &stride[2],
                          &starts_object) ||
        get_info(info_object, &info) < 0)
        return NULL;
    const size_t count[3] = {info.components, info.height, info.width};
    const Py_ssize_t last = reach(0, stride, count);
    if (get_buffer(samples_object, &samples, 0) == 0 && get_buffer(starts_object, &starts, 0) == 0) {
        const size_t all = (size_t)samples.len / (info.bits > 8 ? 2 : 1);
        int fits = last >= 0;
        for (size_t i = 0; i < (size_t)starts.len / sizeof(uint64_t); i++) {
            const uint64_t start = ((const uint64_t *)starts.buf)[i];
            fits &= start < all && (size_t)last < all - start;
        }
        void *workspace = take_block(fl_wavelet_forward_workspace(&info), SIZE_MAX);
        int32_t *planes = take_block(planes_bytes(&info), SIZE_MAX);
        if (!fits) {
            PyErr_SetString(PyExc_ValueError, "samples: a block lies outside");
        } else if (workspace && planes) {
            fl_status status;
            Py_BEGIN_ALLOW_THREADS;
            status = run_details(&info, &samples, &starts, stride, workspace, planes, counts);
            Py_END_ALLOW_THREADS;
            result = status == FL_OK ? PyBytes_FromStringAndSize((const char *)counts, (Py_ssize_t)sizeof counts)
                                     : raise_status(status, "samples wider than the head's bits");
        }
        give_block(planes);
        give_block(workspace);
    }
    if (starts.obj) PyBuffer_Release(&starts);
    if (samples.obj) PyBuffer_Release(&samples);
    return result;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* Coefficients of a tile, all components, as fl_wavelet_tile_decode leaves them. */
typedef struct {
    PyObject base;
    void *coefs;
    Py_ssize_t bytes;
    uint32_t wide;
    uint8_t trimmed[2]; /* columns and rows that were left out */
} tile_object;

static PyObject *tile_type;

/* Takes `coefs` over, if it succeeds. */
static PyObject *tile_new(void *coefs, size_t bytes, uint32_t wide) {
    tile_object *tile = PyObject_New(tile_object, (PyTypeObject *)(void *)tile_type);
    if (!tile) return NULL;
    tile->coefs = coefs;
    tile->bytes = (Py_ssize_t)bytes;
    tile->wide = wide;
    tile->trimmed[0] = tile->trimmed[1] = 0;
    return (PyObject *)tile;
}

static void tile_free(PyObject *self) {
    tile_object *tile = (tile_object *)self;
    PyObject *type = (PyObject *)Py_TYPE(self);
    give_block(tile->coefs);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int tile_buffer(PyObject *self, Py_buffer *view, int flags) {
    tile_object *tile = (tile_object *)self;
    return PyBuffer_FillInfo(view, self, tile->coefs, tile->bytes, 1, flags);
}

static PyObject *tile_wide(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(((tile_object *)self)->wide != 0);
}

static PyObject *tile_bytes(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromSsize_t(((tile_object *)self)->bytes);
}

static PyGetSetDef TILE_FIELDS[] = {{"wide", tile_wide, NULL, "int32, not int16", NULL},
                                    {"nbytes", tile_bytes, NULL, NULL, NULL},
                                    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot TILE_SLOTS[] = {
    {Py_tp_dealloc, (void *)tile_free}, {Py_bf_getbuffer, (void *)tile_buffer}, {Py_tp_getset, TILE_FIELDS}, {0, NULL}};

static PyType_Spec TILE_SPEC = {"firstlight.codecs._native.Tile", sizeof(tile_object), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, TILE_SLOTS};

static int is_tile(const fl_info *info, uint32_t level, uint32_t tile) {
    return level <= info->levels && tile < info->level[level].tiles_x * info->level[level].tiles_y;
}

/* Coefficients of a tile of a level with all components: a tile of one sample has none but those of coarser levels. */
static size_t tile_coefs(const fl_info *info, uint32_t level, uint32_t tile) {
    uint32_t across = info->level[level].tiles_x;
    return info->components * fl_wavelet_tile_size(info, level, tile % across, tile / across);
}

enum { ENCODING = 2, DECODING = 4 };

/* A list of tiles in rows of `columns` numbers: level, tile, and for decoding layers and bytes of the next one. */
static int check_jobs(const Py_buffer *jobs, const fl_info *info, size_t columns) {
    size_t row = columns * sizeof(uint32_t), count = (size_t)jobs->len / row;
    const uint32_t *job = jobs->buf;
    int good = (size_t)jobs->len % row == 0;
    for (size_t i = 0; good && i < count; i++, job += columns)
        good = is_tile(info, job[0], job[1]) &&
               (columns < DECODING || job[2] + (job[3] > 0) <= info->level[job[0]].layers);
    if (good) return 0;
    raise_status(FL_INVALID, "tiles");
    return -1;
}

/* What one call of decode_tiles works on. */
typedef struct {
    fl_info info;
    size_t jobs, buffers;
    Py_buffer job, offsets, where, at;
    Py_buffer *view;      /* of buffers, taken when first needed */
    const uint8_t **data; /* FL_MAX_LAYERS a job */
    uint32_t *size;
    void *scratch;
    struct {
        void *coefs;
        size_t count;
        uint32_t wide;
        fl_status status;
    } *done;
} decoding;

/* Find the segments of all jobs. */
static int find_segments(decoding *d, PyObject *buffers) {
    const uint32_t *job = d->job.buf, *offsets = d->offsets.buf, *at = d->at.buf;
    const int32_t *where = d->where.buf;
    for (size_t i = 0; i < d->jobs; i++, job += DECODING)
        for (uint32_t n = 0; n < job[2] + (job[3] > 0); n++) {
            uint32_t segment = fl_segment(&d->info, job[0], n, job[1]);
            uint32_t size = n < job[2] ? offsets[segment + 1] - offsets[segment] : job[3];
            d->size[i * FL_MAX_LAYERS + n] = size;
            d->data[i * FL_MAX_LAYERS + n] = NULL;
            if (size == 0) continue;
            int32_t number = where[segment];
            if (number < 0 || (size_t)number >= d->buffers) {
                PyErr_Format(PyExc_ValueError, "segment %u: not there", segment);
                return -1;
            }
            Py_buffer *view = &d->view[number];
            if (!view->obj && get_buffer(PyList_GetItem(buffers, number), view, 0) < 0) return -1;
            if ((size_t)at[segment] + size > (size_t)view->len) {
                PyErr_Format(PyExc_ValueError, "segment %u: leaves its buffer", segment);
                return -1;
            }
            d->data[i * FL_MAX_LAYERS + n] = (const uint8_t *)view->buf + at[segment];
        }
    return 0;
}

static int take_memory(decoding *d) {
    const uint32_t *job = d->job.buf;
    d->scratch = take_block(fl_wavelet_decode_scratch(&d->info), SIZE_MAX);
    if (!d->scratch) return -1;
    for (size_t i = 0; i < d->jobs; i++, job += DECODING) {
        d->done[i].count = tile_coefs(&d->info, job[0], job[1]);
        d->done[i].coefs = take_coefs(d->done[i].count * sizeof(int32_t));
        if (!d->done[i].coefs) return -1;
    }
    return 0;
}

/* Without the GIL. */
static void run_decoding(decoding *d) {
    const uint32_t *job = d->job.buf;
    for (size_t i = 0; i < d->jobs; i++, job += DECODING) {
        uint32_t across = d->info.level[job[0]].tiles_x;
        d->done[i].status =
            fl_wavelet_tile_decode(&d->info, job[0], job[1] % across, job[1] / across, d->data + i * FL_MAX_LAYERS,
                                   d->size + i * FL_MAX_LAYERS, job[2] + (job[3] > 0), job[3] > 0, d->done[i].coefs,
                                   &d->done[i].wide, d->scratch);
    }
}

static PyObject *decode_results(decoding *d) {
    PyObject *result = PyList_New((Py_ssize_t)d->jobs);
    for (size_t i = 0; result && i < d->jobs; i++) {
        PyObject *tile = NULL;
        size_t bytes = d->done[i].count * (d->done[i].wide ? sizeof(int32_t) : sizeof(int16_t));
        if (d->done[i].status == FL_CORRUPT)
            tile = Py_NewRef(Py_None);
        else if (d->done[i].status != FL_OK)
            raise_status(d->done[i].status, "tile");
        else if ((tile = tile_new(d->done[i].coefs, bytes, d->done[i].wide)))
            d->done[i].coefs = NULL;
        if (!tile || PyList_SetItem(result, (Py_ssize_t)i, tile) < 0) Py_CLEAR(result);
    }
    return result;
}

static PyObject *decode_tiles(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *job_object, *offsets_object, *where_object, *at_object, *buffers, *result = NULL;
    decoding d;
    memset(&d, 0, sizeof d);
    if (!PyArg_ParseTuple(args, "OOOOOO!", &info_object, &job_object, &offsets_object, &where_object, &at_object,
                          &PyList_Type, &buffers) ||
        get_info(info_object, &d.info) < 0)
        return NULL;
    size_t table = d.info.segments * sizeof(uint32_t);
    if (get_buffer(job_object, &d.job, 0) == 0 && get_buffer(offsets_object, &d.offsets, 0) == 0 &&
        get_buffer(where_object, &d.where, 0) == 0 && get_buffer(at_object, &d.at, 0) == 0 &&
        check_jobs(&d.job, &d.info, DECODING) == 0 &&
        check_length(&d.offsets, table + sizeof(uint32_t), "offsets") == 0 &&
        check_length(&d.where, table, "where") == 0 && check_length(&d.at, table, "at") == 0) {
        d.jobs = (size_t)d.job.len / (DECODING * sizeof(uint32_t));
        d.buffers = (size_t)PyList_Size(buffers);
        d.view = PyMem_Calloc(d.buffers, sizeof *d.view);
        d.data = PyMem_Malloc(d.jobs * FL_MAX_LAYERS * sizeof *d.data);
        d.size = PyMem_Malloc(d.jobs * FL_MAX_LAYERS * sizeof *d.size);
        d.done = PyMem_Calloc(d.jobs, sizeof *d.done);
        if (!d.view || !d.data || !d.size || !d.done) {
            PyErr_NoMemory();
        } else if (find_segments(&d, buffers) == 0 && take_memory(&d) == 0) {
            Py_BEGIN_ALLOW_THREADS;
            run_decoding(&d);
            Py_END_ALLOW_THREADS;
            result = decode_results(&d);
        }
        for (size_t i = 0; d.done && i < d.jobs; i++) give_block(d.done[i].coefs);
        give_block(d.scratch);
        for (size_t i = 0; d.view && i < d.buffers; i++)
            if (d.view[i].obj) PyBuffer_Release(&d.view[i]);
        PyMem_Free(d.done);
        PyMem_Free(d.size);
        PyMem_Free((void *)d.data);
        PyMem_Free(d.view);
    }
    if (d.at.obj) PyBuffer_Release(&d.at);
    if (d.where.obj) PyBuffer_Release(&d.where);
    if (d.offsets.obj) PyBuffer_Release(&d.offsets);
    if (d.job.obj) PyBuffer_Release(&d.job);
    return result;
}

/* What one call of encode_tiles works on and makes. */
typedef struct {
    fl_info info;
    fl_layering layering;
    Py_buffer planes, job;
    size_t jobs;
    void *scratch;
    uint8_t *out; /* segments of all jobs, one tile after the other */
    size_t used, capacity;
    uint32_t *lengths; /* FL_MAX_LAYERS a job */
    fl_tile_report *reports;
} encoding;

/* Without the GIL. FL_NO_SPACE when there is no memory. */
static fl_status run_encoding(encoding *e) {
    const uint32_t *job = e->job.buf;
    fl_status status = FL_OK;
    memset(e->lengths, 0, e->jobs * FL_MAX_LAYERS * sizeof *e->lengths);
    for (size_t i = 0; status == FL_OK && i < e->jobs; i++, job += ENCODING) {
        uint32_t across = e->info.level[job[0]].tiles_x;
        uint32_t *length = e->lengths + i * FL_MAX_LAYERS;
        /* Adaptive coding may expand hostile coefficients; real ones take less than the first try allows. */
        size_t room = tile_coefs(&e->info, job[0], job[1]) * 4 + 4096;
        do {
            if (e->capacity - e->used < room) {
                size_t capacity = e->capacity * 2 + room;
                uint8_t *grown = realloc(e->out, capacity);
                if (!grown) break;
                e->out = grown;
                e->capacity = capacity;
            }
            status =
                fl_wavelet_tile_encode(&e->info, &e->layering, job[0], job[1] % across, job[1] / across, e->planes.buf,
                                       e->out + e->used, e->capacity - e->used, length, e->reports + i, e->scratch);
            room = e->capacity - e->used + 1;
        } while (status == FL_NO_SPACE);
        for (uint32_t n = 0; status == FL_OK && n < e->info.level[job[0]].layers; n++) e->used += length[n];
    }
    return status;
}

static PyObject *encode_tiles(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *layering_object, *planes_object, *job_object, *result = NULL;
    Py_buffer layering = {0};
    encoding e;
    memset(&e, 0, sizeof e);
    if (!PyArg_ParseTuple(args, "OOOO", &info_object, &layering_object, &planes_object, &job_object) ||
        get_info(info_object, &e.info) < 0)
        return NULL;
    if (get_buffer(layering_object, &layering, 0) == 0 && get_buffer(planes_object, &e.planes, 0) == 0 &&
        get_buffer(job_object, &e.job, 0) == 0 && check_length(&layering, sizeof e.layering, "layering") == 0 &&
        check_length(&e.planes, planes_bytes(&e.info), "planes") == 0 && check_jobs(&e.job, &e.info, ENCODING) == 0) {
        memcpy(&e.layering, layering.buf, sizeof e.layering);
        e.jobs = (size_t)e.job.len / (ENCODING * sizeof(uint32_t));
        e.lengths = malloc(e.jobs * FL_MAX_LAYERS * sizeof *e.lengths + 1);
        e.reports = malloc(e.jobs * sizeof *e.reports + 1);
        e.scratch = take_block(fl_wavelet_encode_scratch(&e.info), SIZE_MAX);
        fl_status status = FL_NO_SPACE;
        if (e.lengths && e.reports && e.scratch) {
            Py_BEGIN_ALLOW_THREADS;
            status = run_encoding(&e);
            Py_END_ALLOW_THREADS;
        }
        if (status == FL_NO_SPACE)
            PyErr_NoMemory();
        else if (status != FL_OK)
            raise_status(status, "tiles");
        else
            result = Py_BuildValue("(y#y#y#)", (const char *)e.out, (Py_ssize_t)e.used, (const char *)e.lengths,
                                   (Py_ssize_t)(e.jobs * FL_MAX_LAYERS * sizeof *e.lengths), (const char *)e.reports,
                                   (Py_ssize_t)(e.jobs * sizeof *e.reports));
        give_block(e.scratch);
        free(e.reports);
        free(e.lengths);
        free(e.out);
    }
    if (e.job.obj) PyBuffer_Release(&e.job);
    if (e.planes.obj) PyBuffer_Release(&e.planes);
    if (layering.obj) PyBuffer_Release(&layering);
    return result;
}

/* Bytes of a decoded tile of a place, as it is trimmed. */
static size_t tile_size(const fl_info *info, uint32_t level, uint32_t number, const tile_object *tile) {
    const uint32_t across = info->level[level].tiles_x, columns = tile->trimmed[0], rows = tile->trimmed[1];
    const size_t each = tile->wide ? sizeof(int32_t) : sizeof(int16_t);
    if (columns == 0 && rows == 0) return tile_coefs(info, level, number) * each;
    return info->components * each *
           fl_wavelet_trimmed_size(info, level, number % across, number / across, columns, rows);
}

static PyObject *trim_tile(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *tile_argument;
    fl_info info;
    unsigned level, number, columns, rows;
    if (!PyArg_ParseTuple(args, "OIIIIO!", &info_object, &level, &number, &columns, &rows, tile_type, &tile_argument) ||
        get_info(info_object, &info) < 0)
        return NULL;
    const tile_object *tile = (const tile_object *)tile_argument;
    const size_t each = tile->wide ? sizeof(int32_t) : sizeof(int16_t);
    if (tile->trimmed[0] || tile->trimmed[1]) return Py_NewRef(tile_argument);
    if (!is_tile(&info, level, number) || (size_t)tile->bytes != tile_coefs(&info, level, number) * each)
        return PyErr_Format(PyExc_ValueError, "tile: not a whole one of that place");
    const uint32_t x = number % info.level[level].tiles_x, y = number / info.level[level].tiles_x;
    const size_t left = info.components * fl_wavelet_trimmed_size(&info, level, x, y, columns, rows);
    if (left == 0) return Py_NewRef(tile_argument);
    void *coefs = take_coefs(left * each);
    if (!coefs) return NULL;
    fl_wavelet_tile_trim(&info, level, x, y, columns, rows, tile->coefs, tile->wide, coefs);
    PyObject *made = tile_new(coefs, left * each, tile->wide);
    if (!made) {
        give_block(coefs);
        return NULL;
    }
    ((tile_object *)made)->trimmed[0] = (uint8_t)columns; /* fewer than a tile has */
    ((tile_object *)made)->trimmed[1] = (uint8_t)rows;
    return made;
}

/* Pointers to the coefficients of all tiles, and how they are, out of a list of Tile or None. */
static int take_tiles(const fl_info *info, PyObject *tiles, const void **pointer, uint8_t *wide, uint8_t *trimmed) {
    for (uint32_t k = 0; k <= info->levels; k++)
        for (uint32_t t = 0; t < info->level[k].tiles_x * info->level[k].tiles_y; t++) {
            size_t i = (size_t)info->level[k].first_tile + t;
            PyObject *item = PyList_GetItem(tiles, (Py_ssize_t)i);
            if (item == Py_None) continue;
            const tile_object *tile = (const tile_object *)item;
            if (!PyObject_TypeCheck(item, (PyTypeObject *)(void *)tile_type) ||
                (size_t)tile->bytes != tile_size(info, k, t, tile)) {
                PyErr_Format(PyExc_ValueError, "tiles[%zu]: not a decoded tile of that place", i);
                return -1;
            }
            pointer[i] = tile->coefs;
            wide[i] = (uint8_t)tile->wide;
            memcpy(&trimmed[2 * i], tile->trimmed, sizeof tile->trimmed);
        }
    return 0;
}

static PyObject *synthesize(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *tiles, *values_object, *samples_object, *result = NULL;
    unsigned level, x, y, width, height;
    Py_ssize_t offset, stride[3];
    fl_info info;
    Py_buffer samples, values;
    if (!PyArg_ParseTuple(args, "OIIIIIO!OO(nnnn)", &info_object, &level, &x, &y, &width, &height, &PyList_Type, &tiles,
                          &values_object, &samples_object, &offset, &stride[0], &stride[1], &stride[2]) ||
        get_info(info_object, &info) < 0)
        return NULL;
    if (level > info.levels || width < 1 || height < 1 || width > info.width || height > info.height)
        return raise_status(FL_INVALID, "region");
    if (PyList_Size(tiles) != (Py_ssize_t)info.tiles)
        return PyErr_Format(PyExc_ValueError, "tiles: %u expected", info.tiles);
    if (get_values(values_object, &info, &values) < 0) return NULL;
    if (get_buffer(samples_object, &samples, 1) < 0) {
        if (values.obj) PyBuffer_Release(&values);
        return NULL;
    }
    size_t reached[3] = {info.components, height, width}, sample = info.bits > 8 ? 2 : 1;
    Py_ssize_t last = offset < 0 ? -1 : reach(offset, stride, reached);
    if (last < 0) {
        PyErr_SetString(PyExc_ValueError, "samples: strides reach before the buffer");
    } else if (check_length(&samples, ((size_t)last + 1) * sample, "samples") == 0) {
        const void **pointer = PyMem_Calloc(info.tiles, sizeof *pointer);
        uint8_t *wide = PyMem_Calloc(info.tiles, 1), *trimmed = PyMem_Calloc(info.tiles, 2);
        /* What decoding took for scratch is idle now. */
        void *workspace = take_block(fl_wavelet_region_workspace(&info, level, width, height), SIZE_MAX);
        if (!pointer || !wide || !trimmed) {
            PyErr_NoMemory();
        } else if (workspace && take_tiles(&info, tiles, pointer, wide, trimmed) == 0) {
            void *first = (char *)samples.buf + (size_t)offset * sample;
            fl_status status;
            Py_BEGIN_ALLOW_THREADS;
            status = fl_wavelet_region(&info, level, x, y, width, height, pointer, wide, trimmed, values.buf, first,
                                       stride[0], stride[1], stride[2], workspace);
            Py_END_ALLOW_THREADS;
            result = status == FL_OK ? Py_NewRef(Py_None) : raise_status(status, "region");
        }
        give_block(workspace);
        PyMem_Free(trimmed);
        PyMem_Free(wide);
        PyMem_Free((void *)pointer);
    }
    if (values.obj) PyBuffer_Release(&values);
    PyBuffer_Release(&samples);
    return result;
}

typedef struct {
    fl_info info;
    Py_buffer planes, reports, samples, layers;
    uint32_t first, height, count;
    Py_ssize_t stride[3];
    uint32_t *apart;
    void *workspace;
} measuring;

static PyObject *run_measuring(measuring *m) {
    fl_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = fl_wavelet_measure(&m->info, m->planes.buf, m->reports.buf, m->layers.buf, m->count, m->first, m->height,
                                m->samples.buf, m->stride[0], m->stride[1], m->stride[2], m->apart, m->workspace);
    Py_END_ALLOW_THREADS;
    if (status != FL_OK) return raise_status(status, "rows");
    return PyBytes_FromStringAndSize((const char *)m->apart,
                                     (Py_ssize_t)((size_t)m->count * FL_MEASURED_LEVELS * sizeof *m->apart));
}

static int check_measuring(const measuring *m) {
    const uint32_t *layers = m->layers.buf;
    size_t reached[3] = {m->info.components, m->info.height, m->info.width}, sample = m->info.bits > 8 ? 2 : 1;
    Py_ssize_t last = reach(0, m->stride, reached);
    for (uint32_t i = 0; i < m->count; i++)
        if (layers[i] > FL_MAX_LAYERS) last = -1;
    if (last < 0) {
        PyErr_SetString(PyExc_ValueError, "samples or layers: not of this head");
        return -1;
    }
    if (check_length(&m->samples, ((size_t)last + 1) * sample, "samples") < 0 ||
        check_length(&m->planes, planes_bytes(&m->info), "planes") < 0)
        return -1;
    return check_length(&m->reports, m->info.tiles * sizeof(fl_tile_report), "reports");
}

static PyObject *measure(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *planes, *reports, *samples, *layers, *result = NULL;
    measuring m;
    memset(&m, 0, sizeof m);
    if (!PyArg_ParseTuple(args, "OOOO(nnn)OII", &info_object, &planes, &reports, &samples, &m.stride[0], &m.stride[1],
                          &m.stride[2], &layers, &m.first, &m.height) ||
        get_info(info_object, &m.info) < 0)
        return NULL;
    if (get_buffer(planes, &m.planes, 0) == 0 && get_buffer(reports, &m.reports, 0) == 0 &&
        get_buffer(samples, &m.samples, 0) == 0 && get_buffer(layers, &m.layers, 0) == 0) {
        m.count = (uint32_t)((size_t)m.layers.len / sizeof(uint32_t));
        if (check_measuring(&m) == 0) {
            m.apart = PyMem_Calloc((size_t)m.count * FL_MEASURED_LEVELS + 1, sizeof *m.apart);
            m.workspace = take_block(fl_wavelet_measure_workspace(&m.info, m.height), SIZE_MAX);
            if (m.apart && m.workspace)
                result = run_measuring(&m);
            else if (!m.apart)
                PyErr_NoMemory();
            give_block(m.workspace);
            PyMem_Free(m.apart);
        }
    }
    if (m.layers.obj) PyBuffer_Release(&m.layers);
    if (m.samples.obj) PyBuffer_Release(&m.samples);
    if (m.reports.obj) PyBuffer_Release(&m.reports);
    if (m.planes.obj) PyBuffer_Release(&m.planes);
    return result;
}

static PyMethodDef METHODS[] = {{"head_size", head_size, METH_O, NULL},
                                {"parse_head", parse_head, METH_VARARGS, NULL},
                                {"plan_head", plan_head, METH_VARARGS, NULL},
                                {"write_head", write_head, METH_VARARGS, NULL},
                                {"crc32c", crc32c, METH_O, NULL},
                                {"set_mse", set_mse, METH_VARARGS, NULL},
                                {"set_errors", set_errors, METH_VARARGS, NULL},
                                {"set_measured", set_measured, METH_VARARGS, NULL},
                                {"forward", forward, METH_VARARGS, NULL},
                                {"mark_values", mark_values, METH_VARARGS, NULL},
                                {"count_values", count_values, METH_VARARGS, NULL},
                                {"place_values", place_values, METH_VARARGS, NULL},
                                {"details", details, METH_VARARGS, NULL},
                                {"encode_tiles", encode_tiles, METH_VARARGS, NULL},
                                {"decode_tiles", decode_tiles, METH_VARARGS, NULL},
                                {"trim_tile", trim_tile, METH_VARARGS, NULL},
                                {"synthesize", synthesize, METH_VARARGS, NULL},
                                {"measure", measure, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&MODULE);
    if (!module) return NULL;
    if (!tile_type) tile_type = PyType_FromSpec(&TILE_SPEC);
    if (!tile_type || PyModule_AddObjectRef(module, "Tile", tile_type) < 0) Py_CLEAR(module);
    return module;
}
