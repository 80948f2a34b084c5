/* The operators of softtape.operators once more, for numbers and in C: what runs for each operation
 * of a program under tracing.
 *
 * Nothing here knows more than that text does. Whatever is not a traced value of an open tape,
 * alone, with another one of the same tape or with an ordinary number, goes to the very functions
 * made of that text, and so does everything while locations are noted: messages, refusals and
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
    Py_ssize_t count;    /* nodes so far */
} Tape;

typedef struct {
    PyObject_HEAD
    PyObject *tape;
    PyObject *value;
    Py_ssize_t index;
} Value;

enum { REVISION = 3 }; /* of what softtape.native asks for: one more whenever this file changes */
enum { NONE = -1 };    /* in place of an operand, as in softtape.columns */
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
static PyObject *ufuncs;      /* dict: (code, compute) of the ufuncs with a rule, by ufunc */
static PyObject *other_ufunc; /* function: __array_ufunc__ of whatever is left */
static PyObject *outlived;    /* function: raises for a tape that was closed */

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
static PyObject *rows_totuple(PyObject *self, PyObject *unused)
{
    Rows *rows = (Rows *)self;
    Py_ssize_t length = rows->length; /* which the garbage collector might let grow */
    PyObject *made = PyTuple_New(length);
    for (Py_ssize_t i = 0; made != NULL && i < length; i++) {
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
        tape->constants == NULL || !PyList_CheckExact(tape->constants) || self->value == NULL)
        return NULL;
    return tape;
}

/* The traced value that an operation on `self` comes to, as yet without a number, where the tape
 * has room for so many more nodes. The reference to `value` is taken over. */
static Value *result(Value *self, Tape *tape, PyObject *value, int nodes)
{
    Value *made = (Value *)PyType_GenericAlloc(traced, 0);
    if (made == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    made->value = value;
    if (plain_tape(self) != tape) /* it was closed meanwhile */
        Py_XDECREF(PyObject_CallFunctionObjArgs(outlived, NULL));
    else if (tape->count > INT32_MAX - nodes)
        PyErr_SetString(PyExc_OverflowError, "a tape has at most 2147483647 nodes");
    else if (rows_reserve((Rows *)tape->growing, 3 * nodes) == 0) {
        made->tape = Py_NewRef((PyObject *)tape);
        return made;
    }
    Py_DECREF(made);
    return NULL;
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
    Tape *tape = plain_tape(self);
    if (tape == NULL)
        return left_to_python(function, (PyObject *)self, other);
    Value *second = NULL;
    PyObject *kind = NULL, *operand = other;
    if (Py_TYPE(other) == traced) {
        second = (Value *)other;
        operand = second->value;
        if (second->tape != self->tape || operand == NULL)
            return left_to_python(function, (PyObject *)self, other);
    }
    else if ((kind = PyDict_GetItemWithError(numbers, (PyObject *)Py_TYPE(other))) == NULL)
        return PyErr_Occurred() ? NULL : left_to_python(function, (PyObject *)self, other);

    PyObject *value = reflected ? computed(which, operand, self->value)
                                : computed(which, self->value, operand);
    Value *made = value == NULL ? NULL : result(self, tape, value, 2);
    if (made == NULL)
        return NULL;
    Py_ssize_t number;
    if (second != NULL)
        number = second->index;
    else if (PyList_Append(tape->constants, other) == 0)
        number = append(tape, (int)PyLong_AsLong(kind), NONE, NONE);
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
    PyObject *value = PyObject_CallFunctionObjArgs(compute, operand, NULL);
    Py_DECREF(operand);
    Value *made = value == NULL ? NULL : result(self, tape, value, 1);
    if (made != NULL)
        made->index = append(tape, code, self->index, NONE);
    return (PyObject *)made;
}

static PyObject *signed_value(PyObject *self, int which)
{
    Operator *operator = &operators[which];
    Tape *tape = Py_TYPE(self) == traced ? plain_tape((Value *)self) : NULL;
    if (tape == NULL)
        return left_to_python(operator->forward, self, NULL);
    return unary((Value *)self, tape, operator->code, operator->compute);
}

static PyObject *array_ufunc(PyObject *self, PyObject *args, PyObject *keywords)
{
    Tape *tape = Py_TYPE(self) == traced ? plain_tape((Value *)self) : NULL;
    if (tape != NULL && PyTuple_Size(args) == 3 && (keywords == NULL || !PyDict_Size(keywords))) {
        PyObject *method = PyTuple_GetItem(args, 1);
        PyObject *known = PyDict_GetItemWithError(ufuncs, PyTuple_GetItem(args, 0));
        if (known == NULL && PyErr_Occurred())
            return NULL;
        if (known != NULL && PyUnicode_Check(method) &&
            PyUnicode_CompareWithASCIIString(method, "__call__") == 0)
            return unary((Value *)self, tape, (int)PyLong_AsLong(PyTuple_GetItem(known, 0)),
                         PyTuple_GetItem(known, 1));
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
    Py_CLEAR(((Tape *)self)->growing);
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
    {"_index", T_PYSSIZET, offsetof(Value, index), 0, NULL},
    {"_value", T_OBJECT_EX, offsetof(Value, value), 0, NULL},
    {NULL},
};

static PyMemberDef tape_members[] = {
    {"growing", T_OBJECT_EX, offsetof(Tape, growing), 0, NULL},
    {"count", T_PYSSIZET, offsetof(Tape, count), 0, NULL},
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
    PyObject *type, *kinds, *table, *known, *ufunc, *late;
    if (!PyArg_ParseTuple(args, "O!O!O!O!OO", &PyType_Type, &type, &PyDict_Type, &kinds,
                          &PyDict_Type, &table, &PyDict_Type, &known, &ufunc, &late))
        return NULL;
    if (traced != NULL) /* and its values may still be used */
        Py_RETURN_FALSE;
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
    Py_RETURN_TRUE;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS,
     "bind(traced, numbers, operators, ufuncs, other_ufunc, outlived): say once what the operators "
     "do, and for which type; return whether nobody had."},
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
    if (value == NULL || tapes == NULL || lists == NULL ||
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
