/* What runs for each operation of a program under tracing, in C: the operators of
 * softtape.operators for numbers, and the ends of softtape.traced.Recording and
 * softtape.tape.Recorded.
 *
 * Nothing here knows more than those do. An operator on whatever is not a traced value of an open
 * tape, alone, with another one of the same tape or with an ordinary number, goes to the very
 * functions made of that text, and so does every operator while locations are noted; what operands
 * may be, how an array is kept and how tapes meet is asked of Python: messages, refusals and
 * numpy's types have one place. softtape works without this module, several times slower to
 * record. It keeps to the stable ABI of Python 3.11.
 *
 * What computes a value may run any Python: a callback of numpy's, another thread, the garbage
 * collector. So whatever is used after it is held or looked at again, and a node is written where
 * nothing can fail or run any more.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    int32_t *items;
    Py_ssize_t length, room;
    Py_ssize_t exports; /* buffers of it in use: it cannot move */
} Rows;

typedef struct {
    PyObject_HEAD
    PyObject *growing;   /* Rows: three integers for each node; another list once it is closed */
    PyObject *constants; /* list */
    PyObject *locations; /* None, or a dict */
    PyObject *others;    /* dict: operands and keywords of nodes that have no two operands alone */
    PyObject *views;     /* list of weak references to values that share memory, in pairs */
    PyObject *rows;      /* what `growing` is before it is closed */
    PyObject *guards;    /* list of pairs: a node's number, and what it has to be */
    PyObject *inputs;    /* dict: the number of each input, by key */
    PyObject *start;     /* dict: the value of each */
    PyObject *given;     /* dict: the traced value of each; they and the tape refer to each other */
    PyObject *reads;     /* dict: a Param and its traced value, by the Param's identity */
    PyObject *arrays;    /* dict: arrays that are constants, by identity */
    PyObject *starting;  /* function: the value of a Param, or None for the one it has */
    PyObject *before;    /* the reader before this one */
    Py_ssize_t count;    /* nodes so far */
    Py_ssize_t depth;    /* how many derivatives it lies inside of */
    char holes, texts;   /* whether an array has traced elements; whether a value became a text */
} Tape;

/* The objects of a tape, with the names that Python has for them. */
#define OBJECTS(EACH)                                                                             \
    EACH(growing, "growing") EACH(constants, "constants") EACH(locations, "locations")            \
    EACH(others, "others") EACH(views, "views") EACH(rows, "rows") EACH(guards, "guards")         \
    EACH(inputs, "inputs") EACH(start, "start") EACH(given, "_given") EACH(reads, "_reads")       \
    EACH(arrays, "_arrays") EACH(starting, "_start") EACH(before, "_before")

typedef struct {
    PyObject_HEAD
    PyObject *tape;
    PyObject *value;
    Py_ssize_t index;
} Value;

enum { REVISION = 9 }; /* of what softtape.native asks for: one more whenever this file changes */
enum { NONE = -1, IS_INPUT = -1 }; /* in place of an operand, and a code, as in softtape.columns */
enum { FEW = 1000 };               /* as in softtape.tape */
enum { ADD, SUB, MUL, TRUEDIV, POW, MOD, FLOORDIV, MATMUL, AND, OR, XOR, LT, LE, EQ, NE, GT, GE,
       NEG, POS, ABS, INVERT, OPERATORS };
static const char *const names[OPERATORS] = {
    "add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "matmul", "and", "or", "xor",
    "lt", "le", "eq", "ne", "gt", "ge", "neg", "pos", "abs", "invert"};

typedef struct {
    int code;            /* of its primitive */
    PyObject *compute;   /* callable, of two plain values or of one */
    PyObject *forward;   /* function (self, other), or (self) */
    PyObject *reflected; /* function (self, other) or NULL: for other <sign> self */
} Operator;

static Operator operators[OPERATORS];
static PyTypeObject *traced;  /* softtape.traced.Traced, the one type of traced values */
static PyTypeObject *tapes;   /* the type of what is laid out as Tape */
static PyTypeObject *lists;   /* the type of Rows */
static PyObject *numbers;     /* dict: codes of ordinary numbers, by type */
static PyObject *ufuncs;      /* dict: the primitive of the ufuncs with a rule, by ufunc */
static PyObject *other_ufunc; /* function: __array_ufunc__ of whatever is left */
static PyObject *outlived;    /* function: raises for a tape that was closed */
static PyObject *plain;       /* function: an operand as numpy takes it */
static PyTypeObject *arrays;  /* numpy's own type of arrays */
static PyObject *reading;     /* dict: the names of softtape.reading, `reader` among them */
static PyObject *closed;      /* what `growing` is once a tape is closed */
static PyObject *wiring_of;   /* function: softtape.columns.Wiring.of */
static PyObject *recordings;  /* softtape.columns.Recording */
static PyObject *graphs;      /* softtape.graph.Graph */
static PyObject *no_others;   /* for recordings: an empty mapping */

static PyObject *text_across, *text_base, *text_close, *text_code, *text_compute, *text_constant,
    *text_failed, *text_input, *text_key, *text_locate, *text_peek, *text_reader, *text_view,
    *text_without_holes, *text_wiring;
static const struct {
    PyObject **name;
    const char *text;
} texts[] = {{&text_across, "_across"},     {&text_base, "base"},
             {&text_close, "close"},        {&text_code, "code"},
             {&text_compute, "compute"},    {&text_constant, "constant"},
             {&text_failed, "_failed"},     {&text_input, "input"},
             {&text_key, "key"},            {&text_locate, "locate"},
             {&text_peek, "_softtape_peek"}, {&text_reader, "reader"},
             {&text_view, "view"},          {&text_without_holes, "_without_holes"},
             {&text_wiring, "_long_wiring"}};

/* ---- rows: a list of small integers, four bytes each */

static int rows_reserve(Rows *self, Py_ssize_t more)
{
    if (self->exports) {
        PyErr_SetString(PyExc_BufferError, "rows that are being read cannot grow");
        return -1;
    }
    if (self->length + more <= self->room)
        return 0;
    Py_ssize_t room = self->length + more + self->length / 2 + 21;
    int32_t *items = PyMem_Realloc(self->items, (size_t)room * sizeof(int32_t));
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->items = items;
    self->room = room;
    return 0;
}

static PyObject *rows_concatenated(PyObject *self, PyObject *more)
{
    Rows *rows = (Rows *)self;
    if (!PyTuple_Check(more)) {
        PyErr_SetString(PyExc_TypeError, "rows grow by tuples of integers");
        return NULL;
    }
    Py_ssize_t length = PyTuple_Size(more);
    if (rows_reserve(rows, length) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *item = PyTuple_GetItem(more, i);
        if (!PyLong_Check(item)) { /* whose __index__ might do anything */
            PyErr_SetString(PyExc_TypeError, "rows grow by tuples of integers");
            return NULL;
        }
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(item, &overflow);
        if (overflow || value > INT32_MAX || value < INT32_MIN) {
            PyErr_SetString(PyExc_OverflowError, "a tape has at most 2147483647 nodes");
            return NULL;
        }
        rows->items[rows->length + i] = (int32_t)value;
    }
    rows->length += length;
    return Py_NewRef(self);
}

static Py_ssize_t rows_length(PyObject *self)
{
    return ((Rows *)self)->length;
}

static PyObject *rows_item(PyObject *self, Py_ssize_t i)
{
    if (i < 0 || i >= ((Rows *)self)->length) {
        PyErr_SetString(PyExc_IndexError, "no such row");
        return NULL;
    }
    return PyLong_FromLong(((Rows *)self)->items[i]);
}

/* In a tenth of the time that tuple() takes to ask for one after the other. */
static int rows_buffer(PyObject *self, Py_buffer *view, int flags)
{
    static Py_ssize_t stride = sizeof(int32_t);
    Rows *rows = (Rows *)self;
    if (flags & PyBUF_WRITABLE) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "rows are read only");
        return -1;
    }
    *view = (Py_buffer){.buf = rows->items ? rows->items : (int32_t *)&stride,
                        .obj = Py_NewRef(self),
                        .len = rows->length * stride,
                        .itemsize = stride,
                        .readonly = 1,
                        .ndim = 1,
                        .format = flags & PyBUF_FORMAT ? "i" : NULL,
                        .shape = flags & PyBUF_ND ? &rows->length : NULL,
                        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &stride : NULL};
    rows->exports++;
    return 0;
}

static void rows_released(PyObject *self, Py_buffer *view)
{
    ((Rows *)self)->exports--;
}

static void rows_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(((Rows *)self)->items);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot rows_slots[] = {
    {Py_sq_length, rows_length},
    {Py_sq_item, rows_item},
    {Py_sq_inplace_concat, rows_concatenated},
    {Py_bf_getbuffer, rows_buffer},
    {Py_bf_releasebuffer, rows_released},
    {Py_tp_dealloc, rows_dealloc},
    {Py_tp_doc, "A list of integers that grows by tuples of them, and is an int32 buffer."},
    {0, NULL},
};

/* ---- recording */

static int is_open(Tape *tape)
{
    return tape->growing != NULL && Py_TYPE(tape->growing) == lists && tape->constants != NULL &&
           PyList_CheckExact(tape->constants) && tape->locations != NULL && tape->others != NULL &&
           PyDict_CheckExact(tape->others) && tape->views != NULL && PyList_CheckExact(tape->views);
}

/* The tape, if it is open and notes no locations, else NULL without an error. */
static Tape *plain_tape(Value *self)
{
    if (self->tape == NULL || !PyObject_TypeCheck(self->tape, tapes) || self->value == NULL)
        return NULL;
    Tape *tape = (Tape *)self->tape;
    return is_open(tape) && tape->locations == Py_None ? tape : NULL;
}

/* Make room for so many more nodes; raise if the tape was closed meanwhile. */
static int reserve(Tape *tape, int nodes)
{
    if (!is_open(tape)) {
        Py_XDECREF(PyObject_CallFunctionObjArgs(outlived, NULL));
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_RuntimeError, "the tape is closed");
        return -1;
    }
    if (tape->count > INT32_MAX - nodes) {
        PyErr_SetString(PyExc_OverflowError, "a tape has at most 2147483647 nodes");
        return -1;
    }
    return rows_reserve((Rows *)tape->growing, 3 * nodes);
}

/* The traced value that an operation comes to, as yet without a number, where the tape has room for
 * so many more nodes; NULL for a `value` of NULL. The references to both are taken over. */
static Value *result(Tape *tape, PyObject *value, int nodes)
{
    Value *made = value == NULL ? NULL : (Value *)PyType_GenericAlloc(traced, 0);
    if (made == NULL) {
        Py_XDECREF(value);
        Py_DECREF(tape);
        return NULL;
    }
    made->value = value;
    made->tape = (PyObject *)tape;
    if (reserve(tape, nodes) < 0)
        Py_CLEAR(made);
    return made;
}

/* Append a node for which there is room; return its number. */
static Py_ssize_t append(Tape *tape, int code, Py_ssize_t left, Py_ssize_t right)
{
    const int32_t row[3] = {code, (int32_t)left, (int32_t)right};
    Rows *rows = (Rows *)tape->growing;
    memcpy(rows->items + rows->length, row, sizeof row);
    rows->length += 3;
    return tape->count++;
}

/* The code of an ordinary number, 0 of whatever else it is; -1 with an error set: a type may have a
 * hash of its own. */
static int number_code(PyObject *operand)
{
    PyObject *code = PyDict_GetItemWithError(numbers, (PyObject *)Py_TYPE(operand));
    if (code == NULL)
        return PyErr_Occurred() ? -1 : 0;
    return (int)PyLong_AsLong(code);
}

/* Python has a complex number for (-8.0) ** 0.5, numpy NaN. */
static PyObject *power(PyObject *base, PyObject *exponent)
{
    PyObject *value = PyNumber_Power(base, exponent, Py_None);
    if (value == NULL || Py_TYPE(value) != &PyComplex_Type || Py_TYPE(base) == &PyComplex_Type ||
        Py_TYPE(exponent) == &PyComplex_Type)
        return value;
    Py_DECREF(value);
    return PyFloat_FromDouble(Py_NAN);
}

static PyObject *sign(int which, PyObject *left, PyObject *right)
{
    switch (which) {
    case ADD: return PyNumber_Add(left, right);
    case SUB: return PyNumber_Subtract(left, right);
    case MUL: return PyNumber_Multiply(left, right);
    case TRUEDIV: return PyNumber_TrueDivide(left, right);
    case POW: return power(left, right);
    case LT: return PyObject_RichCompare(left, right, Py_LT);
    case LE: return PyObject_RichCompare(left, right, Py_LE);
    case EQ: return PyObject_RichCompare(left, right, Py_EQ);
    case NE: return PyObject_RichCompare(left, right, Py_NE);
    case GT: return PyObject_RichCompare(left, right, Py_GT);
    case GE: return PyObject_RichCompare(left, right, Py_GE);
    default: return PyObject_CallFunctionObjArgs(operators[which].compute, left, right, NULL);
    }
}

/* What Python computes for two plain values, held meanwhile. */
static PyObject *computed(int which, PyObject *left, PyObject *right)
{
    Py_INCREF(left);
    Py_INCREF(right);
    PyObject *value = sign(which, left, right);
    Py_DECREF(left);
    Py_DECREF(right);
    return value;
}

static PyObject *left_to_python(PyObject *function, PyObject *self, PyObject *other)
{
    if (function == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    return PyObject_CallFunctionObjArgs(function, self, other, NULL);
}

static PyObject *binary(PyObject *left, PyObject *right, int which)
{
    Operator *operator = &operators[which];
    int reflected = Py_TYPE(left) != traced;
    Value *self = (Value *)(reflected ? right : left);
    PyObject *other = reflected ? left : right;
    PyObject *function = reflected ? operator->reflected : operator->forward;
    if (Py_TYPE((PyObject *)self) != traced)
        Py_RETURN_NOTIMPLEMENTED;
    int code = Py_TYPE(other) == traced ? 0 : number_code(other);
    if (code == -1)
        return NULL;
    Tape *tape = plain_tape(self);
    Value *second = Py_TYPE(other) == traced ? (Value *)other : NULL;
    if (tape == NULL || (second == NULL && code == 0) ||
        (second != NULL && (second->tape != self->tape || second->value == NULL)))
        return left_to_python(function, (PyObject *)self, other);
    PyObject *operand = second != NULL ? second->value : other;
    if (Py_TYPE(self->value) == &PyBool_Type && Py_TYPE(operand) == &PyBool_Type && which <= MUL)
        return left_to_python(function, (PyObject *)self, other); /* Python counts truths */

    Py_INCREF((PyObject *)tape);
    PyObject *value = reflected ? computed(which, operand, self->value)
                                : computed(which, self->value, operand);
    Value *made = result(tape, value, 2);
    if (made == NULL)
        return NULL;
    Py_ssize_t number;
    if (second != NULL)
        number = second->index;
    else if (PyList_Append(tape->constants, other) == 0)
        number = append(tape, code, NONE, NONE);
    else {
        Py_DECREF(made);
        return NULL;
    }
    made->index = reflected ? append(tape, operator->code, number, self->index)
                            : append(tape, operator->code, self->index, number);
    return (PyObject *)made;
}

static PyObject *unary(Value *self, Tape *tape, int code, PyObject *compute)
{
    PyObject *operand = Py_NewRef(self->value);
    Py_INCREF((PyObject *)tape);
    PyObject *value = PyObject_CallFunctionObjArgs(compute, operand, NULL);
    Py_DECREF(operand);
    Value *made = result(tape, value, 1);
    if (made != NULL)
        made->index = append(tape, code, self->index, NONE);
    return (PyObject *)made;
}

static PyObject *signed_value(PyObject *self, int which)
{
    Operator *operator = &operators[which];
    Tape *tape = Py_TYPE(self) == traced ? plain_tape((Value *)self) : NULL;
    if (tape == NULL || (Py_TYPE(((Value *)self)->value) == &PyBool_Type && which != INVERT))
        return left_to_python(operator->forward, self, NULL);
    return unary((Value *)self, tape, operator->code, operator->compute);
}

/* ---- any operation */

typedef struct {
    int code;
    PyObject *compute; /* a reference of one's own */
} Parts;

static int code_of(PyObject *primitive, int *code)
{
    PyObject *number = PyObject_GetAttr(primitive, text_code);
    if (number == NULL)
        return -1;
    *code = (int)PyLong_AsLong(number);
    Py_DECREF(number);
    return *code == -1 && PyErr_Occurred() ? -1 : 0;
}

static int parts_of(PyObject *primitive, Parts *parts)
{
    if (code_of(primitive, &parts->code) < 0)
        return -1;
    parts->compute = PyObject_GetAttr(primitive, text_compute);
    return parts->compute == NULL ? -1 : 0;
}

/* Note that a value shares its memory with the operand it was made from, if numpy says so. */
static int note_view(Tape *tape, Value *made, PyObject *operand)
{
    if (Py_TYPE(made->value) != arrays)
        return 0;
    PyObject *base = PyObject_GetAttr(made->value, text_base);
    if (base == NULL)
        return -1;
    int own = base == Py_None;
    Py_DECREF(base);
    PyObject *views = own ? NULL : Py_NewRef(tape->views);
    int failed = 0;
    for (int i = 0; views != NULL && i < 2 && !failed; i++) {
        PyObject *one = PyWeakref_NewRef(i ? operand : (PyObject *)made, NULL);
        failed = one == NULL || PyList_Append(views, one) < 0;
        Py_XDECREF(one);
    }
    Py_XDECREF(views);
    return failed ? -1 : 0;
}

/* Note where a value comes from, if the tape does so. The reference to it is taken over. */
static PyObject *located(Tape *tape, Value *made)
{
    if (made != NULL && tape->locations != Py_None) {
        PyObject *noted = PyObject_CallMethodObjArgs((PyObject *)tape, text_locate, made, NULL);
        if (noted == NULL)
            Py_CLEAR(made);
        Py_XDECREF(noted);
    }
    return (PyObject *)made;
}

/* Append the node of a value, to which the reference is taken over. `indices` is a tuple of its
 * operands' numbers where `left` and `right` cannot hold them, with the keywords, else NULL; `only`
 * is its one operand then, where it has one that is traced. The caller holds the tape. */
static PyObject *entered(Tape *tape, int code, PyObject *value, PyObject *indices, PyObject *attrs,
                         Py_ssize_t left, Py_ssize_t right, PyObject *only)
{
    PyObject *entry = indices == NULL ? NULL : PyTuple_Pack(2, indices, attrs);
    if (indices != NULL && entry == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    Value *made = result((Tape *)Py_NewRef((PyObject *)tape), value, 1);
    if (made != NULL && entry != NULL) { /* nothing else runs, unless it replaces somebody's */
        PyObject *number = PyLong_FromSsize_t(tape->count);
        if (number == NULL || PyDict_SetItem(tape->others, number, entry) < 0 ||
            reserve(tape, 1) < 0)
            Py_CLEAR(made);
        Py_XDECREF(number);
    }
    Py_XDECREF(entry);
    if (made == NULL)
        return NULL;
    made->index = append(tape, code, left, right);
    if (only != NULL && note_view(tape, made, only) < 0)
        Py_CLEAR(made);
    return located(tape, made);
}

/* The number of a plain operand, a constant from now on; -1 with an error set. */
static Py_ssize_t constant(Tape *tape, PyObject *operand)
{
    int code = number_code(operand);
    if (code == 0) {
        PyObject *made =
            PyObject_CallMethodObjArgs((PyObject *)tape, text_constant, operand, NULL);
        Py_ssize_t number = made == NULL ? -1 : PyLong_AsSsize_t(made);
        Py_XDECREF(made);
        return number;
    }
    if (code == -1 || reserve(tape, 1) < 0 || PyList_Append(tape->constants, operand) < 0)
        return -1;
    return append(tape, code, NONE, NONE);
}

/* A tuple to be filled while Python runs, where nobody finds it before it is full. */
static PyObject *hidden_tuple(Py_ssize_t n)
{
    PyObject *made = PyTuple_New(n);
    if (made != NULL)
        PyObject_GC_UnTrack(made);
    return made;
}

/* Fill in the values and numbers of operands; return 1, 0 if one belongs to another tape, or -1. */
static int taken(Tape *tape, PyObject *operands, PyObject *values, PyObject *indices,
                 Py_ssize_t places[2], PyObject **last)
{
    for (Py_ssize_t i = 0, n = PyTuple_Size(operands); i < n; i++) {
        PyObject *operand = Py_NewRef(PyTuple_GetItem(operands, i));
        if (Py_TYPE(operand) != traced && Py_TYPE(operand) != arrays) {
            int code = number_code(operand);
            if (code >= -1) {
                PyObject *as_it_is = operand;
                operand = code ? NULL : PyObject_CallFunctionObjArgs(plain, as_it_is, NULL);
                Py_DECREF(as_it_is);
            }
            if (operand == NULL)
                return -1;
        }
        Py_ssize_t number;
        PyObject *value = operand;
        if (Py_TYPE(operand) == traced) {
            Value *own = (Value *)operand;
            int here = own->tape == (PyObject *)tape;
            if (!here || own->value == NULL) {
                if (here)
                    PyErr_SetString(PyExc_AttributeError, "_value");
                Py_DECREF(operand);
                return here ? -1 : 0;
            }
            number = own->index;
            value = own->value;
        }
        else if ((number = constant(tape, operand)) < 0) {
            Py_DECREF(operand);
            return -1;
        }
        PyTuple_SetItem(values, i, Py_NewRef(value));
        Py_XDECREF(*last);
        *last = operand;
        if (indices == NULL)
            places[i] = number;
        else {
            PyObject *item = PyLong_FromSsize_t(number);
            if (item == NULL)
                return -1;
            PyTuple_SetItem(indices, i, item);
        }
    }
    return 1;
}

/* See softtape.tape.Recorded. */
static PyObject *record(Tape *tape, PyObject *primitive, PyObject *operands, PyObject *attrs)
{
    if (attrs != Py_None && !PyDict_Check(attrs)) {
        PyErr_SetString(PyExc_TypeError, "the keywords of an operation are a dict, or None");
        return NULL;
    }
    int keywords = attrs != Py_None && PyDict_Size(attrs) != 0;
    PyObject *given = PySequence_Tuple(operands);
    if (given == NULL)
        return NULL;
    Py_INCREF((PyObject *)tape);
    Py_ssize_t n = PyTuple_Size(given), places[2] = {NONE, NONE};
    int listed = keywords || n < 1 || n > 2;
    Parts parts = {0, NULL};
    PyObject *made = NULL, *last = NULL;
    attrs = keywords ? attrs : Py_None;
    PyObject *values = hidden_tuple(n), *indices = listed ? hidden_tuple(n) : NULL;
    if (values != NULL && (indices != NULL || !listed) && parts_of(primitive, &parts) == 0) {
        int all = taken(tape, given, values, indices, places, &last);
        if (all == 0)
            made = PyObject_CallMethodObjArgs((PyObject *)tape, text_across, primitive, given,
                                              attrs, NULL);
        else if (all > 0) {
            PyObject *value = PyObject_Call(parts.compute, values, keywords ? attrs : NULL);
            if (value != NULL)
                made = entered(tape, parts.code, value, indices, attrs, places[0], places[1],
                               n == 1 && listed && Py_TYPE(last) == traced ? last : NULL);
        }
    }
    Py_XDECREF(parts.compute);
    Py_XDECREF(values);
    Py_XDECREF(indices);
    Py_XDECREF(last);
    Py_DECREF(given);
    Py_DECREF(tape);
    return made;
}

static int three(Py_ssize_t n)
{
    if (n != 3)
        PyErr_SetString(PyExc_TypeError, "three arguments are expected");
    return n == 3;
}

/* Whether softtape.operators has said what operations do; else an error is set. */
static int bound(void)
{
    if (traced == NULL)
        PyErr_SetString(PyExc_RuntimeError, "import softtape.tape before values are recorded");
    return traced != NULL;
}

static PyObject *tape_record(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return three(n) && bound() ? record((Tape *)self, args[0], args[1], args[2]) : NULL;
}

/* A new reference to the tape of a value, open or not; NULL with an error set. */
static Tape *tape_of(PyObject *self)
{
    PyObject *tape = ((Value *)self)->tape;
    if (!bound())
        return NULL;
    if (tape == NULL || ((Value *)self)->value == NULL || !PyObject_TypeCheck(tape, tapes)) {
        PyErr_SetString(PyExc_TypeError, "a traced value without a tape");
        return NULL;
    }
    return (Tape *)Py_NewRef(tape);
}

static PyObject *value_derived(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    int code;
    Tape *tape = three(n) && code_of(args[0], &code) == 0 ? tape_of(self) : NULL;
    if (tape == NULL)
        return NULL;
    PyObject *number = PyLong_FromSsize_t(((Value *)self)->index), *made = NULL;
    PyObject *indices = number == NULL ? NULL : PyTuple_Pack(1, number);
    if (indices != NULL)
        made = entered(tape, code, Py_NewRef(args[2]), indices, args[1], NONE, NONE, self);
    Py_XDECREF(indices);
    Py_XDECREF(number);
    Py_DECREF(tape);
    return made;
}

static PyObject *value_applied(PyObject *self, PyObject *primitive)
{
    Parts parts;
    if (parts_of(primitive, &parts) < 0)
        return NULL;
    PyObject *made = NULL;
    Tape *tape = tape_of(self);
    if (tape != NULL) {
        PyObject *operand = Py_NewRef(((Value *)self)->value);
        PyObject *value = PyObject_CallFunctionObjArgs(parts.compute, operand, NULL);
        Py_DECREF(operand);
        if (value != NULL)
            made = entered(tape, parts.code, value, NULL, NULL, ((Value *)self)->index, NONE, NULL);
        Py_DECREF(tape);
    }
    Py_DECREF(parts.compute);
    return made;
}

static PyObject *value_record(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    Tape *tape = three(n) ? tape_of(self) : NULL;
    PyObject *made = tape == NULL ? NULL : record(tape, args[0], args[1], args[2]);
    Py_XDECREF((PyObject *)tape);
    return made;
}

/* Record a call of a ufunc that is one operation. */
static PyObject *called(PyObject *self, PyObject *primitive, PyObject *args, Py_ssize_t inputs)
{
    if (inputs == 1 && PyTuple_GetItem(args, 2) == self)
        return value_applied(self, primitive);
    PyObject *operands = PyTuple_GetSlice(args, 2, 2 + inputs), *made = NULL;
    Tape *tape = operands == NULL ? NULL : tape_of(self);
    if (tape != NULL)
        made = record(tape, primitive, operands, Py_None);
    Py_XDECREF((PyObject *)tape);
    Py_XDECREF(operands);
    return made;
}

/* ---- the run of a tape */

static PyObject *tape_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Tape *tape = (Tape *)PyType_GenericAlloc(type, 0);
    if (tape == NULL)
        return NULL;
    PyObject **dicts[] = {&tape->others, &tape->inputs, &tape->start,
                          &tape->given,  &tape->reads,  &tape->arrays};
    PyObject **flat[] = {&tape->constants, &tape->views, &tape->guards};
    int failed = 0;
    for (int i = 0; i < 6; i++)
        failed |= (*dicts[i] = PyDict_New()) == NULL;
    for (int i = 0; i < 3; i++)
        failed |= (*flat[i] = PyList_New(0)) == NULL;
    failed |= (tape->rows = PyType_GenericAlloc(lists, 0)) == NULL;
    if (failed) {
        Py_DECREF(tape);
        return NULL;
    }
    tape->growing = Py_NewRef(tape->rows);
    tape->locations = Py_NewRef(Py_None);
    tape->starting = Py_NewRef(Py_None);
    tape->before = Py_NewRef(Py_None);
    return (PyObject *)tape;
}

static void replace(PyObject **place, PyObject *by)
{
    PyObject *old = *place;
    *place = Py_NewRef(by);
    Py_XDECREF(old);
}

static PyObject *tape_enter(PyObject *self, PyObject *unused)
{
    PyObject *before = bound() ? PyDict_GetItemWithError(reading, text_reader) : NULL;
    if (before == NULL && PyErr_Occurred())
        return NULL;
    replace(&((Tape *)self)->before, before == NULL ? Py_None : before);
    return PyDict_SetItem(reading, text_reader, self) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *tape_close(PyObject *self, PyObject *unused)
{
    Tape *tape = (Tape *)self;
    PyObject *gone[] = {tape->given, tape->arrays, tape->reads};
    if (!bound())
        return NULL;
    for (int i = 0; i < 3; i++)
        Py_XINCREF(gone[i]); /* what goes with it may do anything */
    replace(&tape->growing, closed);
    for (int i = 0; i < 3; i++) {
        if (gone[i] != NULL && PyDict_CheckExact(gone[i]))
            PyDict_Clear(gone[i]);
        Py_XDECREF(gone[i]);
    }
    if (tape->views != NULL && PyList_CheckExact(tape->views) && PyList_Size(tape->views) &&
        PyList_SetSlice(tape->views, 0, PyList_Size(tape->views), NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *tape_exit(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    PyObject *before = ((Tape *)self)->before;
    if (!three(n) || !bound() ||
        PyDict_SetItem(reading, text_reader, before == NULL ? Py_None : before) < 0)
        return NULL;
    PyObject *done = PyObject_CallMethodObjArgs(self, text_close, NULL);
    if (done == NULL || args[1] == Py_None)
        return done;
    Py_DECREF(done);
    return PyObject_CallMethodObjArgs(self, text_failed, args[1], args[2], NULL);
}

/* Whether a tape has what it was made with: the garbage collector may have taken it apart. */
static int whole(Tape *tape)
{
    PyObject *dicts[] = {tape->others, tape->inputs, tape->start, tape->given, tape->reads};
    if (!bound())
        return 0;
    int all = tape->rows != NULL && Py_TYPE(tape->rows) == lists && tape->locations != NULL &&
              tape->starting != NULL && tape->constants != NULL &&
              PyList_CheckExact(tape->constants) && tape->guards != NULL &&
              PyList_CheckExact(tape->guards);
    for (int i = 0; i < 5; i++)
        all = all && dicts[i] != NULL && PyDict_CheckExact(dicts[i]);
    if (!all)
        PyErr_SetString(PyExc_RuntimeError, "parts of the tape are missing");
    return all;
}

/* The traced value of a new input. The reference to `value` is taken over. */
static Value *new_input(Tape *tape, PyObject *key, PyObject *value)
{
    Value *made = result((Tape *)Py_NewRef((PyObject *)tape), value, 1);
    PyObject *number = made != NULL && whole(tape) ? PyLong_FromSsize_t(tape->count) : NULL;
    int failed = number == NULL || PyDict_SetItem(tape->inputs, key, number) < 0 ||
                 PyDict_SetItem(tape->start, key, value) < 0 ||
                 PyDict_SetItem(tape->given, key, (PyObject *)made) < 0 ||
                 reserve(tape, 1) < 0; /* a key may have a hash of its own */
    Py_XDECREF(number);
    if (failed) {
        Py_XDECREF((PyObject *)made);
        return NULL;
    }
    made->index = append(tape, IS_INPUT, NONE, NONE);
    return made;
}

static PyObject *input(Tape *tape, PyObject *key, PyObject *value)
{
    if (!whole(tape))
        return NULL;
    PyObject *known = PyDict_GetItemWithError(tape->given, key);
    if (known != NULL || PyErr_Occurred())
        return Py_XNewRef(known);
    if (Py_TYPE(value) != arrays && PyObject_TypeCheck(value, arrays)) /* of a subclass */
        value = PyObject_CallMethodObjArgs(value, text_view, (PyObject *)arrays, NULL);
    else
        Py_INCREF(value);
    Value *made = value == NULL ? NULL : new_input(tape, key, value);
    return located(tape, made);
}

static PyObject *tape_input(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "a key and a value are expected");
        return NULL;
    }
    return input((Tape *)self, args[0], args[1]);
}

static PyObject *tape_read(PyObject *self, PyObject *param)
{
    Tape *tape = (Tape *)self;
    PyObject *id = whole(tape) ? PyLong_FromVoidPtr(param) : NULL;
    PyObject *known = id == NULL ? NULL : PyDict_GetItemWithError(tape->reads, id);
    if (known != NULL || PyErr_Occurred()) {
        Py_XDECREF(id);
        return known == NULL ? NULL : Py_XNewRef(PyTuple_GetItem(known, 1));
    }
    PyObject *value = tape->starting == Py_None
                          ? PyObject_CallMethodObjArgs(param, text_peek, NULL)
                          : PyObject_CallFunctionObjArgs(tape->starting, param, NULL);
    PyObject *key = value == NULL ? NULL : PyObject_GetAttr(param, text_key);
    PyObject *made = key == NULL ? NULL : input(tape, key, value);
    PyObject *entry = made == NULL ? NULL : PyTuple_Pack(2, param, made); /* the id stays its own */
    if (entry == NULL || PyDict_SetItem(tape->reads, id, entry) < 0)
        Py_CLEAR(made);
    Py_XDECREF(entry);
    Py_XDECREF(key);
    Py_XDECREF(value);
    Py_DECREF(id);
    return made;
}

static PyObject *tape_nodes(PyObject *self, void *unused)
{
    Tape *tape = (Tape *)self;
    Rows *rows = (Rows *)tape->rows;
    if (!whole(tape))
        return NULL;
    PyObject *wiring, *constants = NULL, *keys = NULL, *others = NULL, *made = NULL;
    if (tape->count <= FEW) {
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)rows->items,
                                                    rows->length * (Py_ssize_t)sizeof(int32_t));
        wiring = bytes == NULL ? NULL : PyObject_CallFunctionObjArgs(wiring_of, bytes, NULL);
        Py_XDECREF(bytes);
    }
    else
        wiring = PyObject_CallMethodObjArgs(self, text_wiring, NULL);
    if (wiring != NULL && (constants = PyList_AsTuple(tape->constants)) != NULL &&
        (keys = PySequence_Tuple(tape->inputs)) != NULL)
        others = PyDict_Size(tape->others) ? PyDict_Copy(tape->others) : Py_NewRef(no_others);
    if (others != NULL)
        made = PyObject_CallFunctionObjArgs(recordings, wiring, constants, keys, others, NULL);
    Py_XDECREF(wiring);
    Py_XDECREF(constants);
    Py_XDECREF(keys);
    Py_XDECREF(others);
    return made;
}

/* The number of an output of a graph. */
static Py_ssize_t output(Tape *tape, PyObject *operand)
{
    if (Py_TYPE(operand) == traced && ((Value *)operand)->tape == (PyObject *)tape)
        return ((Value *)operand)->index;
    PyObject *as_it_is = PyObject_CallFunctionObjArgs(plain, operand, NULL);
    Py_ssize_t number = as_it_is == NULL ? -1 : constant(tape, as_it_is);
    Py_XDECREF(as_it_is);
    return number;
}

static PyObject *tape_graph(PyObject *self, PyObject *outputs)
{
    Tape *tape = (Tape *)self;
    PyObject *given = whole(tape) ? PySequence_Tuple(outputs) : NULL;
    Py_ssize_t n = given == NULL ? 0 : PyTuple_Size(given);
    PyObject *numbers = given == NULL ? NULL : hidden_tuple(n);
    for (Py_ssize_t i = 0; numbers != NULL && i < n; i++) {
        Py_ssize_t number = output(tape, PyTuple_GetItem(given, i));
        PyObject *item = number < 0 ? NULL : PyLong_FromSsize_t(number);
        if (item == NULL)
            Py_CLEAR(numbers);
        else
            PyTuple_SetItem(numbers, i, item);
    }
    Py_XDECREF(given);
    if (numbers != NULL && tape->holes) {
        PyObject *none = PyObject_CallMethodObjArgs(self, text_without_holes, NULL);
        if (none == NULL)
            Py_CLEAR(numbers);
        Py_XDECREF(none);
    }
    PyObject *nodes = numbers == NULL ? NULL : tape_nodes(self, NULL), *guards = NULL,
             *inputs = NULL, *start = NULL, *made = NULL;
    if (nodes != NULL && (guards = PyList_AsTuple(tape->guards)) != NULL &&
        (inputs = PyDict_Copy(tape->inputs)) != NULL && (start = PyDict_Copy(tape->start)) != NULL)
        made = PyObject_CallFunctionObjArgs(graphs, nodes, numbers, guards, inputs, start, NULL);
    Py_XDECREF(numbers);
    Py_XDECREF(nodes);
    Py_XDECREF(guards);
    Py_XDECREF(inputs);
    Py_XDECREF(start);
    return made;
}

/* ---- ufuncs */

static PyObject *array_ufunc(PyObject *self, PyObject *args, PyObject *keywords)
{
    Py_ssize_t inputs = PyTuple_Size(args) - 2;
    if (Py_TYPE(self) == traced && (inputs == 1 || inputs == 2) &&
        (keywords == NULL || !PyDict_Size(keywords))) {
        PyObject *method = PyTuple_GetItem(args, 1);
        PyObject *known = PyDict_GetItemWithError(ufuncs, PyTuple_GetItem(args, 0));
        if (known == NULL && PyErr_Occurred())
            return NULL;
        if (known != NULL && PyUnicode_Check(method) &&
            PyUnicode_CompareWithASCIIString(method, "__call__") == 0) {
            Py_INCREF(known);
            PyObject *made = called(self, known, args, inputs);
            Py_DECREF(known);
            return made;
        }
    }
    if (other_ufunc == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *first = PyTuple_Pack(1, self);
    PyObject *all = first == NULL ? NULL : PySequence_Concat(first, args);
    PyObject *made = all == NULL ? NULL : PyObject_Call(other_ufunc, all, keywords);
    Py_XDECREF(first);
    Py_XDECREF(all);
    return made;
}

/* ---- the types */

#define BINARY(NAME, WHICH)                                                                       \
    static PyObject *NAME(PyObject *left, PyObject *right) { return binary(left, right, WHICH); }
BINARY(value_add, ADD)
BINARY(value_sub, SUB)
BINARY(value_mul, MUL)
BINARY(value_truediv, TRUEDIV)
BINARY(value_mod, MOD)
BINARY(value_floordiv, FLOORDIV)
BINARY(value_matmul, MATMUL)
BINARY(value_and, AND)
BINARY(value_or, OR)
BINARY(value_xor, XOR)

static PyObject *value_pow(PyObject *left, PyObject *right, PyObject *modulus)
{
    if (modulus != Py_None)
        Py_RETURN_NOTIMPLEMENTED;
    return binary(left, right, POW);
}

static PyObject *value_compare(PyObject *left, PyObject *right, int sign)
{
    static const int which[] = {[Py_LT] = LT, [Py_LE] = LE, [Py_EQ] = EQ,
                                [Py_NE] = NE, [Py_GT] = GT, [Py_GE] = GE};
    return binary(left, right, which[sign]);
}

#define UNARY(NAME, WHICH)                                                                        \
    static PyObject *NAME(PyObject *self) { return signed_value(self, WHICH); }
UNARY(value_neg, NEG)
UNARY(value_pos, POS)
UNARY(value_abs, ABS)
UNARY(value_invert, INVERT)

static int value_clear(PyObject *self)
{
    Py_CLEAR(((Value *)self)->tape);
    Py_CLEAR(((Value *)self)->value);
    return 0;
}

static int value_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Value *)self)->tape);
    Py_VISIT(((Value *)self)->value);
    return 0;
}

static int tape_clear(PyObject *self)
{
#define CLEAR(PLACE, NAME) Py_CLEAR(((Tape *)self)->PLACE);
    OBJECTS(CLEAR)
    return 0;
}

static int tape_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
#define VISIT(PLACE, NAME) Py_VISIT(((Tape *)self)->PLACE);
    OBJECTS(VISIT)
    return 0;
}

static void value_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    value_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static void tape_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    tape_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMemberDef value_members[] = {
    {"_tape", T_OBJECT_EX, offsetof(Value, tape), 0, NULL},
    {"_index", T_PYSSIZET, offsetof(Value, index), 0, NULL},
    {"_value", T_OBJECT_EX, offsetof(Value, value), 0, NULL},
    {NULL},
};

static PyMemberDef tape_members[] = {
#define MEMBER(PLACE, NAME) {NAME, T_OBJECT_EX, offsetof(Tape, PLACE), 0, NULL},
    OBJECTS(MEMBER)
    {"count", T_PYSSIZET, offsetof(Tape, count), 0, NULL},
    {"depth", T_PYSSIZET, offsetof(Tape, depth), 0, NULL},
    {"holes", T_BOOL, offsetof(Tape, holes), 0, NULL},
    {"texts", T_BOOL, offsetof(Tape, texts), 0, NULL},
    {NULL},
};

#define FAST(FUNCTION) (PyCFunction)(void (*)(void))FUNCTION, METH_FASTCALL
static PyMethodDef value_methods[] = {
    {"_softtape_record", FAST(value_record), "See softtape.traced.Recording."},
    {"_derived", FAST(value_derived), "See softtape.traced.Recording."},
    {"_applied", value_applied, METH_O, "See softtape.traced.Recording."},
    {"__array_ufunc__", (PyCFunction)(void (*)(void))array_ufunc, METH_VARARGS | METH_KEYWORDS,
     "Record a call of a numpy ufunc."},
    {NULL},
};

static PyMethodDef tape_methods[] = {
    {"record", FAST(tape_record), "See softtape.tape.Recorded."},
    {"read", tape_read, METH_O, "See softtape.tape.Recorded."},
    {"input", FAST(tape_input), "See softtape.tape.Recorded."},
    {"graph", tape_graph, METH_O, "See softtape.tape.Recorded."},
    {"close", tape_close, METH_NOARGS, "See softtape.tape.Recorded."},
    {"__enter__", tape_enter, METH_NOARGS, "See softtape.tape.Recorded."},
    {"__exit__", FAST(tape_exit), "See softtape.tape.Recorded."},
    {NULL},
};

static PyGetSetDef tape_properties[] = {
    {"nodes", tape_nodes, NULL, "See softtape.tape.Recorded.", NULL},
    {NULL},
};

static PyType_Slot value_slots[] = {
    {Py_nb_add, value_add},
    {Py_nb_subtract, value_sub},
    {Py_nb_multiply, value_mul},
    {Py_nb_true_divide, value_truediv},
    {Py_nb_power, value_pow},
    {Py_nb_remainder, value_mod},
    {Py_nb_floor_divide, value_floordiv},
    {Py_nb_matrix_multiply, value_matmul},
    {Py_nb_and, value_and},
    {Py_nb_or, value_or},
    {Py_nb_xor, value_xor},
    {Py_nb_negative, value_neg},
    {Py_nb_positive, value_pos},
    {Py_nb_absolute, value_abs},
    {Py_nb_invert, value_invert},
    {Py_tp_richcompare, value_compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_members, value_members},
    {Py_tp_methods, value_methods},
    {Py_tp_traverse, value_traverse},
    {Py_tp_clear, value_clear},
    {Py_tp_dealloc, value_dealloc},
    {Py_tp_doc, "What a traced value is made of; see softtape.traced.Traced."},
    {0, NULL},
};

static PyType_Slot tape_slots[] = {
    {Py_tp_members, tape_members},
    {Py_tp_methods, tape_methods},
    {Py_tp_getset, tape_properties},
    {Py_tp_new, tape_new},
    {Py_tp_traverse, tape_traverse},
    {Py_tp_clear, tape_clear},
    {Py_tp_dealloc, tape_dealloc},
    {Py_tp_doc, "What operations write to; see softtape.tape.Tape."},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)
static PyType_Spec rows_spec = {"softtape._recorder.Rows", sizeof(Rows), 0, Py_TPFLAGS_DEFAULT,
                                rows_slots};
static PyType_Spec value_spec = {"softtape._recorder.Value", sizeof(Value), 0, FLAGS, value_slots};
static PyType_Spec tape_spec = {"softtape._recorder.Growing", sizeof(Tape), 0, FLAGS, tape_slots};

/* ---- the module */

static PyObject *bind(PyObject *module, PyObject *args)
{
    PyObject *type, *kinds, *table, *known, *ufunc, *late, *taking, *array;
    if (!PyArg_ParseTuple(args, "O!O!O!O!OOOO!", &PyType_Type, &type, &PyDict_Type, &kinds,
                          &PyDict_Type, &table, &PyDict_Type, &known, &ufunc, &late, &taking,
                          &PyType_Type, &array))
        return NULL;
    Operator bound[OPERATORS];
    for (int i = 0; i < OPERATORS; i++) {
        PyObject *entry = PyDict_GetItemString(table, names[i]);
        if (entry == NULL || !PyTuple_Check(entry)) {
            PyErr_SetString(PyExc_KeyError, names[i]);
            return NULL;
        }
        if (!PyArg_ParseTuple(entry, "iOOO", &bound[i].code, &bound[i].compute, &bound[i].forward,
                              &bound[i].reflected))
            return NULL;
    }
    memcpy(operators, bound, sizeof bound);
    for (int i = 0; i < OPERATORS; i++) {
        Py_INCREF(operators[i].compute);
        Py_INCREF(operators[i].forward);
        if (operators[i].reflected == Py_None)
            operators[i].reflected = NULL;
        else
            Py_INCREF(operators[i].reflected);
    }
    traced = (PyTypeObject *)Py_NewRef(type);
    numbers = Py_NewRef(kinds);
    ufuncs = Py_NewRef(known);
    other_ufunc = Py_NewRef(ufunc);
    outlived = Py_NewRef(late);
    plain = Py_NewRef(taking);
    arrays = (PyTypeObject *)Py_NewRef(array);
    Py_RETURN_NONE;
}

static PyObject *bind_tapes(PyObject *module, PyObject *args)
{
    PyObject **places[] = {&reading, &closed, &wiring_of, &recordings, &graphs, &no_others};
    PyObject *given[6];
    if (!PyArg_ParseTuple(args, "O!OOOOO", &PyDict_Type, &given[0], &given[1], &given[2], &given[3],
                          &given[4], &given[5]))
        return NULL;
    for (int i = 0; i < 6; i++)
        replace(places[i], given[i]);
    Py_RETURN_NONE;
}

static PyObject *claim(PyObject *module, PyObject *unused)
{
    static int claimed = 0;
    return PyBool_FromLong(!claimed++);
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS,
     "bind(traced, numbers, operators, ufuncs, other_ufunc, outlived, plain_operand, ndarray): say "
     "what operations do, and for which type."},
    {"bind_tapes", bind_tapes, METH_VARARGS,
     "bind_tapes(names_of_reading, closed, wiring_of, Recording, Graph, no_others): say what the "
     "run of a tape is made of."},
    {"claim", claim, METH_NOARGS,
     "Return whether nobody had: it knows one type of traced values, and they may be in use."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_recorder", "The operators of traced numbers, compiled.", -1, functions,
};

PyMODINIT_FUNC PyInit__recorder(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    PyObject *value = PyType_FromSpec(&value_spec);
    tapes = (PyTypeObject *)PyType_FromSpec(&tape_spec);
    lists = (PyTypeObject *)PyType_FromSpec(&rows_spec);
    int failed = value == NULL || tapes == NULL || lists == NULL;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        failed |= (*texts[k].name = PyUnicode_InternFromString(texts[k].text)) == NULL;
    if (failed ||
        PyModule_AddIntConstant(module, "REVISION", REVISION) < 0 ||
        PyModule_AddObjectRef(module, "Value", value) < 0 ||
        PyModule_AddObjectRef(module, "Growing", (PyObject *)tapes) < 0 ||
        PyModule_AddObjectRef(module, "Rows", (PyObject *)lists) < 0) {
        Py_XDECREF(value);
        Py_DECREF(module);
        return NULL;
    }
    Py_DECREF(value);
    return module;
}
