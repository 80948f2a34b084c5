/* The operators of softtape.operators once more, for numbers and in C: what runs for each operation
 * of a program under tracing.
 *
 * Nothing here knows more than that text does. Whatever is not a traced value of an open tape,
 * alone, with another one of the same tape or with an ordinary number, goes to the very functions
 * made of that text, and so does everything while locations are noted: messages, refusals and
 * numpy's types have one place. softtape works without this module, several times slower to
 * record. It keeps to the stable ABI of Python 3.11.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
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
    PyObject *growing;   /* Rows: three integers for each node */
    PyObject *count;     /* int: nodes so far */
    PyObject *constants; /* list */
    PyObject *locations; /* None, or a dict */
} Tape;

typedef struct {
    PyObject_HEAD
    PyObject *tape;
    PyObject *index;
    PyObject *value;
} Value;

enum { ADD, SUB, MUL, TRUEDIV, POW, MOD, FLOORDIV, MATMUL, AND, OR, XOR, LT, LE, EQ, NE, GT, GE,
       NEG, POS, ABS, INVERT, OPERATORS };
static const char *const names[OPERATORS] = {
    "add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "matmul", "and", "or", "xor",
    "lt", "le", "eq", "ne", "gt", "ge", "neg", "pos", "abs", "invert"};

typedef struct {
    PyObject *code;      /* int */
    PyObject *compute;   /* callable, of two plain values or of one */
    PyObject *forward;   /* function (self, other), or (self) */
    PyObject *reflected; /* function (self, other) or NULL: for other <sign> self */
} Operator;

static Operator operators[OPERATORS];
static PyTypeObject *traced;  /* softtape.traced.Traced, the one type of traced values */
static PyTypeObject *tapes;   /* the type of what is laid out as Tape */
static PyTypeObject *lists;   /* the type of Rows */
static PyObject *numbers;     /* dict: codes of ordinary numbers, by type */
static PyObject *ufuncs;      /* dict: (code, compute) of the ufuncs with a rule, by ufunc */
static PyObject *other_ufunc; /* function: __array_ufunc__ of whatever is left */
static PyObject *none;        /* int: no operand */
static PyObject *call;        /* str: "__call__" */

/* ---- rows: a list of small integers, four bytes each */

static int32_t *rows_room(Rows *self, Py_ssize_t more)
{
    if (self->length + more > self->room) {
        if (self->exports) {
            PyErr_SetString(PyExc_BufferError, "rows that are being read cannot grow");
            return NULL;
        }
        Py_ssize_t room = self->length + more + self->length / 2 + 21;
        int32_t *items = PyMem_Realloc(self->items, (size_t)room * sizeof(int32_t));
        if (items == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        self->items = items;
        self->room = room;
    }
    int32_t *to = self->items + self->length;
    self->length += more;
    return to;
}

static int32_t small(PyObject *number)
{
    long value = PyLong_AsLong(number);
    if (value > INT32_MAX || value < INT32_MIN) {
        PyErr_SetString(PyExc_OverflowError, "a tape has at most 2147483647 nodes");
        return -1;
    }
    return (int32_t)value;
}

static int rows_append(Rows *self, PyObject *code, PyObject *left, PyObject *right)
{
    int32_t row[3] = {small(code), small(left), small(right)}, *to;
    if (PyErr_Occurred() || (to = rows_room(self, 3)) == NULL)
        return -1;
    memcpy(to, row, sizeof row);
    return 0;
}

static PyObject *rows_concatenated(PyObject *self, PyObject *more)
{
    if (!PyTuple_Check(more)) {
        PyErr_SetString(PyExc_TypeError, "rows grow by tuples of integers");
        return NULL;
    }
    Py_ssize_t length = PyTuple_Size(more), before = ((Rows *)self)->length;
    int32_t *to = rows_room((Rows *)self, length);
    if (to == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < length; i++)
        to[i] = small(PyTuple_GetItem(more, i));
    if (PyErr_Occurred()) {
        ((Rows *)self)->length = before;
        return NULL;
    }
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
static PyObject *rows_totuple(PyObject *self, PyObject *unused)
{
    Rows *rows = (Rows *)self;
    PyObject *made = PyTuple_New(rows->length);
    for (Py_ssize_t i = 0; made != NULL && i < rows->length; i++) {
        PyObject *item = PyLong_FromLong(rows->items[i]);
        if (item == NULL)
            Py_CLEAR(made);
        else
            PyTuple_SetItem(made, i, item);
    }
    return made;
}

static int rows_buffer(PyObject *self, Py_buffer *view, int flags)
{
    static Py_ssize_t stride = sizeof(int32_t);
    Rows *rows = (Rows *)self;
    if (flags & PyBUF_WRITABLE) {
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
                        .shape = &rows->length,
                        .strides = flags & PyBUF_STRIDES ? &stride : NULL};
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

static PyMethodDef rows_methods[] = {
    {"totuple", rows_totuple, METH_NOARGS, "Return them as a tuple."},
    {NULL},
};

static PyType_Slot rows_slots[] = {
    {Py_tp_methods, rows_methods},
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

/* The tape, if it is open and notes no locations, else NULL without an error. */
static Tape *plain_tape(Value *self)
{
    if (self->tape == NULL || !PyObject_TypeCheck(self->tape, tapes))
        return NULL;
    Tape *tape = (Tape *)self->tape;
    if (tape->locations != Py_None || tape->growing == NULL || Py_TYPE(tape->growing) != lists ||
        tape->count == NULL || tape->constants == NULL || !PyList_CheckExact(tape->constants) ||
        self->index == NULL || self->value == NULL)
        return NULL;
    return tape;
}

/* Count one more node; return its number. */
static PyObject *next_number(Tape *tape)
{
    PyObject *number = tape->count; /* the reference is handed over */
    Py_ssize_t before = PyLong_AsSsize_t(number);
    if (before == -1 && PyErr_Occurred())
        return NULL;
    PyObject *after = PyLong_FromSsize_t(before + 1);
    if (after == NULL)
        return NULL;
    tape->count = after;
    return number;
}

/* Append an operation whose result is `value`, of which the reference is taken over. */
static PyObject *recorded(Tape *tape, PyObject *code, PyObject *left, PyObject *right,
                          PyObject *value)
{
    Value *made = (Value *)PyType_GenericAlloc(traced, 0);
    if (made == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    made->value = value;
    made->tape = Py_NewRef((PyObject *)tape);
    if (rows_append((Rows *)tape->growing, code, left, right) < 0 || (made->index = next_number(tape)) == NULL) {
        Py_DECREF(made);
        return NULL;
    }
    return (PyObject *)made;
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

/* What Python computes for two plain values, which a callback of numpy's might let go of. */
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
    Tape *tape;
    if (Py_TYPE(reflected ? right : left) != traced || (tape = plain_tape(self)) == NULL)
        return left_to_python(function, (PyObject *)self, other);
    if (Py_TYPE(other) == traced) {
        Value *second = (Value *)other;
        if (second->tape != self->tape || second->index == NULL || second->value == NULL)
            return left_to_python(function, (PyObject *)self, other);
        PyObject *value = computed(which, self->value, second->value);
        if (value == NULL)
            return NULL;
        return recorded(tape, operator->code, self->index, second->index, value);
    }
    PyObject *kind = PyDict_GetItemWithError(numbers, (PyObject *)Py_TYPE(other));
    if (kind == NULL) {
        if (PyErr_Occurred())
            return NULL;
        return left_to_python(function, (PyObject *)self, other);
    }
    PyObject *value = reflected ? computed(which, other, self->value)
                                : computed(which, self->value, other);
    if (value == NULL)
        return NULL;
    PyObject *constant = NULL, *made = NULL;
    if (rows_append((Rows *)tape->growing, kind, none, none) == 0 &&
        PyList_Append(tape->constants, other) == 0)
        constant = next_number(tape);
    if (constant == NULL)
        Py_DECREF(value);
    else
        made = reflected ? recorded(tape, operator->code, constant, self->index, value)
                         : recorded(tape, operator->code, self->index, constant, value);
    Py_XDECREF(constant);
    return made;
}

static PyObject *unary(Tape *tape, Value *self, PyObject *code, PyObject *compute)
{
    PyObject *operand = Py_NewRef(self->value);
    PyObject *value = PyObject_CallFunctionObjArgs(compute, operand, NULL);
    Py_DECREF(operand);
    return value == NULL ? NULL : recorded(tape, code, self->index, none, value);
}

static PyObject *signed_value(PyObject *self, int which)
{
    Operator *operator = &operators[which];
    Tape *tape = Py_TYPE(self) == traced ? plain_tape((Value *)self) : NULL;
    if (tape == NULL)
        return PyObject_CallFunctionObjArgs(operator->forward, self, NULL);
    return unary(tape, (Value *)self, operator->code, operator->compute);
}

static PyObject *array_ufunc(PyObject *self, PyObject *args, PyObject *keywords)
{
    if (PyTuple_Size(args) == 3 && (keywords == NULL || PyDict_Size(keywords) == 0)) {
        PyObject *method = PyTuple_GetItem(args, 1);
        PyObject *known = PyDict_GetItemWithError(ufuncs, PyTuple_GetItem(args, 0));
        if (known == NULL && PyErr_Occurred())
            return NULL;
        Tape *tape = Py_TYPE(self) == traced ? plain_tape((Value *)self) : NULL;
        if (known != NULL && tape != NULL && PyUnicode_Check(method) &&
            (method == call || PyUnicode_Compare(method, call) == 0))
            return unary(tape, (Value *)self, PyTuple_GetItem(known, 0),
                         PyTuple_GetItem(known, 1));
    }
    Py_ssize_t given = PyTuple_Size(args);
    PyObject *all = PyTuple_New(given + 1), *made = NULL;
    if (all == NULL)
        return NULL;
    PyTuple_SetItem(all, 0, Py_NewRef(self));
    for (Py_ssize_t i = 0; i < given; i++)
        PyTuple_SetItem(all, i + 1, Py_NewRef(PyTuple_GetItem(args, i)));
    made = PyObject_Call(other_ufunc, all, keywords);
    Py_DECREF(all);
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
    Py_CLEAR(((Value *)self)->index);
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
    Py_CLEAR(((Tape *)self)->growing);
    Py_CLEAR(((Tape *)self)->count);
    Py_CLEAR(((Tape *)self)->constants);
    Py_CLEAR(((Tape *)self)->locations);
    return 0;
}

static int tape_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Tape *)self)->growing);
    Py_VISIT(((Tape *)self)->constants);
    Py_VISIT(((Tape *)self)->locations);
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
    {"_index", T_OBJECT_EX, offsetof(Value, index), 0, NULL},
    {"_value", T_OBJECT_EX, offsetof(Value, value), 0, NULL},
    {NULL},
};

static PyMemberDef tape_members[] = {
    {"growing", T_OBJECT_EX, offsetof(Tape, growing), 0, NULL},
    {"count", T_OBJECT_EX, offsetof(Tape, count), 0, NULL},
    {"constants", T_OBJECT_EX, offsetof(Tape, constants), 0, NULL},
    {"locations", T_OBJECT_EX, offsetof(Tape, locations), 0, NULL},
    {NULL},
};

static PyMethodDef value_methods[] = {
    {"__array_ufunc__", (PyCFunction)(void (*)(void))array_ufunc, METH_VARARGS | METH_KEYWORDS,
     "Record a call of a numpy ufunc."},
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
    PyObject *type, *kinds, *table, *known, *ufunc;
    if (!PyArg_ParseTuple(args, "OO!O!O!O", &type, &PyDict_Type, &kinds, &PyDict_Type, &table,
                          &PyDict_Type, &known, &ufunc))
        return NULL;
    for (int i = 0; i < OPERATORS; i++) {
        PyObject *code, *compute, *forward, *reflected;
        PyObject *entry = PyDict_GetItemString(table, names[i]);
        if (entry == NULL || !PyTuple_Check(entry)) {
            PyErr_SetString(PyExc_KeyError, names[i]);
            return NULL;
        }
        if (!PyArg_ParseTuple(entry, "OOOO", &code, &compute, &forward, &reflected))
            return NULL;
        operators[i].code = Py_NewRef(code);
        operators[i].compute = Py_NewRef(compute);
        operators[i].forward = Py_NewRef(forward);
        operators[i].reflected = reflected == Py_None ? NULL : Py_NewRef(reflected);
    }
    traced = (PyTypeObject *)Py_NewRef(type);
    numbers = Py_NewRef(kinds);
    ufuncs = Py_NewRef(known);
    other_ufunc = Py_NewRef(ufunc);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS,
     "bind(traced, numbers, operators, ufuncs, other_ufunc): say what the operators do."},
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
    none = PyLong_FromLong(-1);
    call = PyUnicode_InternFromString("__call__");
    if (value == NULL || tapes == NULL || lists == NULL || none == NULL || call == NULL ||
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
