/* CPython binding of the kernels: buffers in, buffers out; the GIL is released while a kernel runs. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "firstlight.h"

#define MAX_BUFFERS 16

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
    fl_status status = fl_head_parse(view.buf, (size_t)view.len, &info);
    PyBuffer_Release(&view);
    if (status != FL_OK && status != FL_INSUFFICIENT) return raise_status(status, "shard head");
    return PyLong_FromUnsignedLong(info.head_size);
}

static PyObject *parse_head(PyObject *self, PyObject *object) {
    (void)self;
    Py_buffer view;
    fl_info info;
    if (get_buffer(object, &view, 0) < 0) return NULL;
    PyObject *offsets = NULL, *values = NULL, *result = NULL;
    fl_status status = fl_head_parse(view.buf, (size_t)view.len, &info);
    if (status == FL_OK) {
        values = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)info.values * (Py_ssize_t)sizeof(uint16_t));
        if (values)
            status = fl_head_values(view.buf, (size_t)view.len, &info, (uint16_t *)(void *)PyBytes_AsString(values));
    }
    if (values && status == FL_OK) {
        offsets = PyBytes_FromStringAndSize(NULL, ((Py_ssize_t)info.segments + 1) * (Py_ssize_t)sizeof(uint32_t));
        if (offsets)
            status = fl_head_offsets(view.buf, (size_t)view.len, &info, (uint32_t *)(void *)PyBytes_AsString(offsets));
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
    memset(&info, 0, sizeof info);
    if (!PyArg_ParseTuple(args, "IIIIpIII", &info.width, &info.height, &info.components, &info.bits,
                          (int *)&info.is_signed, &info.colour, &info.transform, &info.values))
        return NULL;
    info.codec = FL_CODEC_WAVELET;
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
        /* Fixed fields and tables are below 1 KB, a length is 5 bytes at most, a run of values 6. */
        size_t capacity = 1024 + (size_t)info.segments * 5 + (size_t)info.values * 6, written = 0;
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

static PyObject *set_cuts(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object;
    fl_info info;
    const char *cuts;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Oy#", &info_object, &cuts, &size) || get_info(info_object, &info) < 0) return NULL;
    Py_ssize_t wanted = 0;
    for (uint32_t k = 0; k < info.levels; k++) wanted += (Py_ssize_t)(info.components * info.level[k].layers);
    if (size != wanted) return PyErr_Format(PyExc_ValueError, "cuts: %zd bytes given, %zd needed", size, wanted);
    for (uint32_t c = 0; c < info.components; c++)
        for (uint32_t k = 0; k < info.levels; k++)
            for (uint32_t n = 0; n < info.level[k].layers; n++) info.cut[c][k][n] = (uint8_t)*cuts++;
    return info_bytes(&info);
}

/* ---- wavelet ------------------------------------------------------------------------------------------------------
 */

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
    if (!PyArg_ParseTuple(args, "OOnnnO", &info_object, &samples_object, &stride[0], &stride[1], &stride[2],
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

static PyObject *level_errors(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *planes_object, *values_object;
    fl_info info;
    Py_buffer planes, values;
    if (!PyArg_ParseTuple(args, "OOO", &info_object, &planes_object, &values_object) ||
        get_info(info_object, &info) < 0 || get_values(values_object, &info, &values) < 0)
        return NULL;
    if (get_buffer(planes_object, &planes, 0) < 0) {
        if (values.obj) PyBuffer_Release(&values);
        return NULL;
    }
    PyObject *result = NULL;
    if (check_length(&planes, planes_bytes(&info), "planes") == 0) {
        fl_status status;
        Py_BEGIN_ALLOW_THREADS;
        status = fl_wavelet_errors(&info, planes.buf, values.buf);
        Py_END_ALLOW_THREADS;
        result = status == FL_OK ? info_bytes(&info) : raise_status(status, "error table");
    }
    if (values.obj) PyBuffer_Release(&values);
    PyBuffer_Release(&planes);
    return result;
}

static PyObject *split_layers(const uint8_t *out, const uint32_t *size, uint32_t layers) {
    PyObject *tuple = PyTuple_New((Py_ssize_t)layers);
    for (uint32_t n = 0; tuple && n < layers; n++) {
        PyObject *item = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)size[n]);
        if (!item || PyTuple_SetItem(tuple, (Py_ssize_t)n, item) < 0) Py_CLEAR(tuple);
        out += size[n];
    }
    return tuple;
}

static PyObject *encode_tile(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *planes_object, *result = NULL;
    unsigned component, level, x, y;
    fl_info info;
    Py_buffer planes;
    if (!PyArg_ParseTuple(args, "OIIIIO", &info_object, &component, &level, &x, &y, &planes_object) ||
        get_info(info_object, &info) < 0)
        return NULL;
    size_t coefs = fl_wavelet_tile_size(&info, level, x, y);
    if (component >= info.components || !coefs) return raise_status(FL_INVALID, "tile");
    if (get_buffer(planes_object, &planes, 0) < 0) return NULL;
    if (check_length(&planes, planes_bytes(&info), "planes") == 0) {
        const int32_t *plane = (const int32_t *)planes.buf + (size_t)component * info.width * info.height;
        fl_status status = FL_NO_SPACE;
        uint32_t size[FL_MAX_LAYERS];
        void *scratch = PyMem_Malloc(fl_wavelet_tile_scratch(&info));
        uint8_t *out = NULL;
        /* Adaptive coding may expand hostile coefficients; real ones take less than the first try allows. */
        for (size_t capacity = coefs * 4 + 256; scratch && status == FL_NO_SPACE; capacity *= 2) {
            PyMem_Free(out);
            out = PyMem_Malloc(capacity);
            if (!out) break;
            Py_BEGIN_ALLOW_THREADS;
            status = fl_wavelet_tile_encode(&info, component, level, x, y, plane, out, capacity, size, scratch);
            Py_END_ALLOW_THREADS;
        }
        if (!scratch || !out)
            PyErr_NoMemory();
        else if (status != FL_OK)
            raise_status(status, "tile");
        else
            result = split_layers(out, size, info.level[level].layers);
        PyMem_Free(out);
        PyMem_Free(scratch);
    }
    PyBuffer_Release(&planes);
    return result;
}

static PyObject *tile_size(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object;
    unsigned level, x, y;
    fl_info info;
    if (!PyArg_ParseTuple(args, "OIII", &info_object, &level, &x, &y) || get_info(info_object, &info) < 0) return NULL;
    size_t coefs = fl_wavelet_tile_size(&info, level, x, y);
    return coefs ? PyLong_FromSize_t(coefs) : raise_status(FL_INVALID, "tile");
}

static PyObject *decode_tile(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *segments, *coefs_object, *result = NULL;
    unsigned component, level, x, y;
    fl_info info;
    Py_buffer coefs, layer[FL_MAX_LAYERS];
    if (!PyArg_ParseTuple(args, "OIIIIOO", &info_object, &component, &level, &x, &y, &segments, &coefs_object) ||
        get_info(info_object, &info) < 0)
        return NULL;
    Py_ssize_t layers = PySequence_Size(segments), taken = 0;
    size_t size = fl_wavelet_tile_size(&info, level, x, y);
    if (layers < 0) return NULL;
    if (!size || layers > (Py_ssize_t)info.level[level].layers) return raise_status(FL_INVALID, "tile");
    if (get_buffer(coefs_object, &coefs, 1) < 0) return NULL;
    const uint8_t *data[FL_MAX_LAYERS];
    uint32_t length[FL_MAX_LAYERS];
    for (; taken < layers; taken++) {
        PyObject *item = PySequence_GetItem(segments, taken);
        int failed = !item || get_buffer(item, &layer[taken], 0) < 0;
        Py_XDECREF(item);
        if (failed) break;
        data[taken] = layer[taken].buf;
        length[taken] = (uint32_t)layer[taken].len;
    }
    if (taken == layers && check_length(&coefs, size * sizeof(int32_t), "coefs") == 0) {
        void *scratch = PyMem_Malloc(fl_wavelet_tile_scratch(&info));
        if (scratch) {
            fl_status status;
            Py_BEGIN_ALLOW_THREADS;
            status = fl_wavelet_tile_decode(&info, component, level, x, y, data, length, (uint32_t)layers, coefs.buf,
                                            scratch);
            Py_END_ALLOW_THREADS;
            PyMem_Free(scratch);
            result = status == FL_OK ? Py_NewRef(Py_None) : raise_status(status, "segment");
        } else {
            PyErr_NoMemory();
        }
    }
    while (taken > 0) PyBuffer_Release(&layer[--taken]);
    PyBuffer_Release(&coefs);
    return result;
}

/* Check that tile pointer i is as large as the tile; needs the tile's place from its index. */
static int tile_fits(const fl_info *info, size_t index, Py_ssize_t bytes) {
    uint32_t tile = (uint32_t)(index / info->components), k = info->levels;
    while (k > 0 && tile >= info->level[k - 1].first_tile) k--;
    tile -= info->level[k].first_tile;
    size_t size = fl_wavelet_tile_size(info, k, tile % info->level[k].tiles_x, tile / info->level[k].tiles_x);
    return (size_t)bytes >= size * sizeof(int32_t);
}

static PyObject *synthesize(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *info_object, *tiles, *values_object, *samples_object, *result = NULL;
    unsigned level, x, y, width, height;
    Py_ssize_t offset, stride[3];
    fl_info info;
    Py_buffer samples, values;
    if (!PyArg_ParseTuple(args, "OIIIIIOOOnnnn", &info_object, &level, &x, &y, &width, &height, &tiles, &values_object,
                          &samples_object, &offset, &stride[0], &stride[1], &stride[2]) ||
        get_info(info_object, &info) < 0)
        return NULL;
    if (level > info.levels || width < 1 || height < 1 || width > info.width || height > info.height)
        return raise_status(FL_INVALID, "region");
    size_t count = (size_t)info.tiles * info.components;
    if (PySequence_Size(tiles) != (Py_ssize_t)count)
        return PyErr_Format(PyExc_ValueError, "tiles: %zu expected, one a tile and component", count);
    if (get_values(values_object, &info, &values) < 0) return NULL;
    if (get_buffer(samples_object, &samples, 1) < 0) {
        if (values.obj) PyBuffer_Release(&values);
        return NULL;
    }
    const int32_t **pointer = PyMem_Calloc(count, sizeof *pointer);
    Py_buffer *views = PyMem_Calloc(count, sizeof *views);
    size_t taken = 0, reached[3] = {info.components, height, width}, sample = info.bits > 8 ? 2 : 1;
    Py_ssize_t last = offset < 0 ? -1 : reach(offset, stride, reached);
    int ready = pointer && views;
    if (!ready) PyErr_NoMemory();
    if (ready && last < 0) {
        PyErr_SetString(PyExc_ValueError, "samples: strides reach before the buffer");
        ready = 0;
    }
    ready = ready && check_length(&samples, ((size_t)last + 1) * sample, "samples") == 0;
    for (size_t i = 0; ready && i < count; i++) {
        PyObject *item = PySequence_GetItem(tiles, (Py_ssize_t)i);
        if (item && item != Py_None) {
            ready = get_buffer(item, &views[taken], 0) == 0;
            if (ready) {
                pointer[i] = views[taken].buf;
                if (!tile_fits(&info, i, views[taken++].len)) {
                    PyErr_Format(PyExc_ValueError, "tiles[%zu]: buffer too small", i);
                    ready = 0;
                }
            }
        }
        ready = ready && item;
        Py_XDECREF(item);
    }
    if (ready) {
        void *workspace = PyMem_Malloc(fl_wavelet_region_workspace(&info, level, width, height));
        if (workspace) {
            void *first = (char *)samples.buf + (size_t)offset * sample;
            fl_status status;
            Py_BEGIN_ALLOW_THREADS;
            status = fl_wavelet_region(&info, level, x, y, width, height, pointer, values.buf, first, stride[0],
                                       stride[1], stride[2], workspace);
            Py_END_ALLOW_THREADS;
            PyMem_Free(workspace);
            result = status == FL_OK ? Py_NewRef(Py_None) : raise_status(status, "region");
        } else {
            PyErr_NoMemory();
        }
    }
    while (taken > 0) PyBuffer_Release(&views[--taken]);
    PyMem_Free(views);
    PyMem_Free(pointer);
    if (values.obj) PyBuffer_Release(&values);
    PyBuffer_Release(&samples);
    return result;
}

static PyMethodDef METHODS[] = {{"head_size", head_size, METH_O, NULL},
                                {"parse_head", parse_head, METH_O, NULL},
                                {"plan_head", plan_head, METH_VARARGS, NULL},
                                {"write_head", write_head, METH_VARARGS, NULL},
                                {"crc32c", crc32c, METH_O, NULL},
                                {"set_cuts", set_cuts, METH_VARARGS, NULL},
                                {"forward", forward, METH_VARARGS, NULL},
                                {"level_errors", level_errors, METH_VARARGS, NULL},
                                {"encode_tile", encode_tile, METH_VARARGS, NULL},
                                {"tile_size", tile_size, METH_VARARGS, NULL},
                                {"decode_tile", decode_tile, METH_VARARGS, NULL},
                                {"synthesize", synthesize, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&MODULE); }
