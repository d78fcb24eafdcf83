/*
 * Plays Godot to the extension: values with shared ownership, objects with reference counts, a class registry, a node
 * in a tree. Anything that Godot would not forgive ends the program; what is still alive at the end is counted.
 *
 *     fake_host LIBRARY FRAMES_ENDPOINT FRAMES     shows so many frames, holding jawOpen at 0.5 on the way
 *
 * The last line of its output is one of numbers: see main().
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gdextension_interface.h>

#define MAX_METHODS 64

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

/* Values. Texts and arrays are shared and counted; an array is copied when somebody writes to a shared one. */

typedef struct shared {
    int shares;
    int64_t size;
    uint8_t bytes[];
} shared;

static int alive; /* shared values and objects */
static int copies_on_write;

static shared *shared_new(const void *bytes, int64_t size) {
    shared *made = malloc(sizeof *made + (size_t)size + 1);
    made->shares = 1;
    made->size = size;
    if (bytes != NULL) {
        memcpy(made->bytes, bytes, (size_t)size);
    }
    made->bytes[size] = 0;
    alive++;
    return made;
}

static shared *share(shared *value) {
    if (value != NULL) {
        value->shares++;
    }
    return value;
}

static void unshare(shared *value) {
    if (value != NULL && --value->shares == 0) {
        free(value);
        alive--;
    }
}

/* A String, a StringName and the first word of a PackedByteArray are a pointer to one of these. */
static shared *shared_at(const void *where) { return *(shared *const *)where; }

static const char *text_at(const void *where) {
    return shared_at(where) == NULL ? "" : (const char *)shared_at(where)->bytes;
}

typedef struct object {
    char class_name[64];
    bool counted;
    int references;
    void *instance;
    shared *data; /* of an Image */
    int64_t width, height;
    int updates, replacements; /* of an ImageTexture */
    int state_signals, size_signals;
} object;

typedef struct host_variant {
    int64_t type;
    union {
        GDExtensionBool boolean;
        int64_t integer;
        double real;
        shared *text;
        shared *array;
        object *object;
    } as;
} host_variant;

static void object_release(object *which) {
    if (which != NULL && which->counted && --which->references == 0) {
        unshare(which->data);
        free(which);
        alive--;
    }
}

static void variant_new_nil(void *where) { memset(where, 0, sizeof(host_variant)); }

static void variant_new_copy(void *where, const void *from) {
    host_variant *copy = where;
    *copy = *(const host_variant *)from;
    if (copy->type == GDEXTENSION_VARIANT_TYPE_STRING || copy->type == GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY) {
        share(copy->as.text);
    } else if (copy->type == GDEXTENSION_VARIANT_TYPE_OBJECT && copy->as.object != NULL && copy->as.object->counted) {
        copy->as.object->references++;
    }
}

static void variant_destroy(void *where) {
    host_variant *value = where;
    if (value->type == GDEXTENSION_VARIANT_TYPE_STRING || value->type == GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY) {
        unshare(value->as.text);
    } else if (value->type == GDEXTENSION_VARIANT_TYPE_OBJECT) {
        object_release(value->as.object);
    }
    memset(value, 0xDD, sizeof *value); /* using it again is a mistake that should show */
}

#define FROM(name, kind, field, type_name)                                                    \
    static void name(void *where, void *from) {                                               \
        host_variant *value = where;                                                          \
        value->type = kind;                                                                   \
        value->as.field = *(type_name *)from;                                                 \
    }
FROM(from_bool, GDEXTENSION_VARIANT_TYPE_BOOL, boolean, GDExtensionBool)
FROM(from_int, GDEXTENSION_VARIANT_TYPE_INT, integer, int64_t)
FROM(from_float, GDEXTENSION_VARIANT_TYPE_FLOAT, real, double)

static void from_string(void *where, void *from) {
    host_variant *value = where;
    value->type = GDEXTENSION_VARIANT_TYPE_STRING;
    value->as.text = share(shared_at(from));
}

static void from_bytes(void *where, void *from) {
    host_variant *value = where;
    value->type = GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY;
    value->as.array = share(shared_at(from));
}

static void from_object(void *where, void *from) {
    host_variant *value = where;
    value->type = GDEXTENSION_VARIANT_TYPE_OBJECT;
    value->as.object = *(object **)from;
    if (value->as.object != NULL && value->as.object->counted) {
        value->as.object->references++;
    }
}

static const host_variant *of_type(const void *where, int64_t type) {
    const host_variant *value = where;
    if (value->type != type) {
        fail("a value of type %" PRId64 " was read as %" PRId64, value->type, type);
    }
    return value;
}

static void to_bool(void *where, void *from) {
    *(GDExtensionBool *)where = of_type(from, GDEXTENSION_VARIANT_TYPE_BOOL)->as.boolean;
}

static void to_int(void *where, void *from) {
    *(int64_t *)where = of_type(from, GDEXTENSION_VARIANT_TYPE_INT)->as.integer;
}

static void to_float(void *where, void *from) {
    const host_variant *value = from;
    *(double *)where =
        value->type == GDEXTENSION_VARIANT_TYPE_INT ? (double)value->as.integer
                                                    : of_type(from, GDEXTENSION_VARIANT_TYPE_FLOAT)->as.real;
}

static void to_string(void *where, void *from) {
    *(shared **)where = share(of_type(from, GDEXTENSION_VARIANT_TYPE_STRING)->as.text);
}

static void to_object(void *where, void *from) {
    *(object **)where = of_type(from, GDEXTENSION_VARIANT_TYPE_OBJECT)->as.object;
}

static void to_bytes(void *where, void *from) {
    ((shared **)where)[0] = share(of_type(from, GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY)->as.array);
    ((shared **)where)[1] = NULL;
}

static GDExtensionVariantFromTypeConstructorFunc from_type(GDExtensionVariantType type) {
    switch (type) {
    case GDEXTENSION_VARIANT_TYPE_BOOL: return from_bool;
    case GDEXTENSION_VARIANT_TYPE_INT: return from_int;
    case GDEXTENSION_VARIANT_TYPE_FLOAT: return from_float;
    case GDEXTENSION_VARIANT_TYPE_STRING: return from_string;
    case GDEXTENSION_VARIANT_TYPE_OBJECT: return from_object;
    case GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY: return from_bytes;
    default: fail("no Variant is made from type %d here", type); return NULL;
    }
}

static GDExtensionTypeFromVariantConstructorFunc to_type(GDExtensionVariantType type) {
    switch (type) {
    case GDEXTENSION_VARIANT_TYPE_BOOL: return to_bool;
    case GDEXTENSION_VARIANT_TYPE_INT: return to_int;
    case GDEXTENSION_VARIANT_TYPE_FLOAT: return to_float;
    case GDEXTENSION_VARIANT_TYPE_STRING: return to_string;
    case GDEXTENSION_VARIANT_TYPE_OBJECT: return to_object;
    case GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY: return to_bytes;
    default: fail("no Variant becomes type %d here", type); return NULL;
    }
}

static void new_text(void *where, const char *text) { *(shared **)where = shared_new(text, (int64_t)strlen(text)); }

static void new_name(void *where, const char *text, GDExtensionBool is_static) {
    (void)is_static;
    new_text(where, text);
}

static int64_t text_to_utf8(const void *string, char *into, int64_t capacity) {
    int64_t length = shared_at(string)->size;
    memcpy(into, shared_at(string)->bytes, (size_t)(length < capacity ? length : capacity));
    return length;
}

static void destroy_shared(void *where) {
    unshare(shared_at(where));
    memset(where, 0xDD, sizeof(shared *));
}

static void new_bytes(void *where, const GDExtensionConstTypePtr *arguments) {
    (void)arguments;
    memset(where, 0, 2 * sizeof(shared *));
}

static GDExtensionPtrConstructor constructor_of(GDExtensionVariantType type, int32_t index) {
    return type == GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY && index == 0 ? new_bytes : NULL;
}

static GDExtensionPtrDestructor destructor_of(GDExtensionVariantType type) {
    (void)type;
    return destroy_shared;
}

static void names_equal(const void *left, const void *right, void *result) {
    *(GDExtensionBool *)result = strcmp(text_at(left), text_at(right)) == 0;
}

static GDExtensionPtrOperatorEvaluator evaluator_of(
    GDExtensionVariantOperator operation, GDExtensionVariantType left, GDExtensionVariantType right) {
    (void)operation;
    (void)left;
    (void)right;
    return names_equal;
}

static uint8_t *byte_at(void *array, int64_t index) {
    shared **bytes = array;
    if (bytes[0] == NULL || index >= bytes[0]->size) {
        fail("byte %" PRId64 " of an array that has fewer", index);
    }
    if (bytes[0]->shares > 1) {
        shared *own = shared_new(bytes[0]->bytes, bytes[0]->size);
        unshare(bytes[0]);
        bytes[0] = own;
        copies_on_write++;
    }
    return bytes[0]->bytes + index;
}

/* Objects and their methods. */

static object engine = {.class_name = "Engine"};
static uint64_t shown_sum; /* of the bytes of the last picture, each with its place */

static object *construct_object(const void *class_name) {
    object *made = calloc(1, sizeof *made);
    snprintf(made->class_name, sizeof made->class_name, "%s", text_at(class_name));
    made->counted = strcmp(made->class_name, "Node") != 0;
    alive++;
    return made;
}

static void *singleton(const void *name) { return strcmp(text_at(name), "Engine") == 0 ? &engine : NULL; }

static void set_instance(void *of, const void *class_name, void *instance) {
    object *node = of;
    snprintf(node->class_name, sizeof node->class_name, "%s", text_at(class_name));
    node->instance = instance;
}

static bool image_set_data(object *image, const GDExtensionConstVariantPtr *arguments) {
    int64_t width = of_type(arguments[0], GDEXTENSION_VARIANT_TYPE_INT)->as.integer;
    int64_t height = of_type(arguments[1], GDEXTENSION_VARIANT_TYPE_INT)->as.integer;
    int64_t format = of_type(arguments[3], GDEXTENSION_VARIANT_TYPE_INT)->as.integer;
    shared *data = of_type(arguments[4], GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY)->as.array;
    if (of_type(arguments[2], GDEXTENSION_VARIANT_TYPE_BOOL)->as.boolean || format != 5) {
        fail("set_data with mipmaps or format %" PRId64, format);
    }
    if (data == NULL || data->size != width * height * 4) {
        fail("set_data with another size than announced");
    }
    share(data);
    unshare(image->data);
    image->data = data;
    image->width = width;
    image->height = height;
    return true;
}

static bool texture_take(object *texture, const host_variant *argument, bool same_size) {
    object *image = of_type(argument, GDEXTENSION_VARIANT_TYPE_OBJECT)->as.object;
    if (same_size && (image->width != texture->width || image->height != texture->height)) {
        fail("update with another size, which Godot refuses");
    }
    texture->width = image->width;
    texture->height = image->height;
    *(same_size ? &texture->updates : &texture->replacements) += 1;
    shown_sum = 0;
    for (int64_t i = 0; i < image->data->size; i++) {
        shown_sum = shown_sum * 31 + image->data->bytes[i];
    }
    return true;
}

static bool object_call(
    object *self, const char *method, const GDExtensionConstVariantPtr *arguments, int64_t count,
    host_variant *result) {
    if (self == &engine && strcmp(method, "is_editor_hint") == 0) {
        GDExtensionBool answer = false;
        from_bool(result, &answer);
        return true;
    }
    if (strcmp(self->class_name, "Image") == 0 && strcmp(method, "set_data") == 0 && count == 5) {
        return image_set_data(self, arguments);
    }
    if (strcmp(self->class_name, "ImageTexture") == 0 && count == 1) {
        bool update = strcmp(method, "update") == 0;
        return (update || strcmp(method, "set_image") == 0) && texture_take(self, arguments[0], update);
    }
    if (strcmp(method, "reference") == 0 && self->counted) {
        self->references++;
        return true;
    }
    if (strcmp(method, "emit_signal") == 0 && count >= 2) {
        const char *name = (const char *)of_type(arguments[0], GDEXTENSION_VARIANT_TYPE_STRING)->as.text->bytes;
        if (strcmp(name, "state_changed") == 0 && count == 2) {
            self->state_signals++;
        } else if (strcmp(name, "size_changed") == 0 && count == 3) {
            self->size_signals++;
        } else {
            return false;
        }
        return true;
    }
    return false;
}

static void variant_call(
    void *where, const void *method, const GDExtensionConstVariantPtr *arguments, int64_t count, void *result,
    GDExtensionCallError *error) {
    host_variant *self = where;
    bool done = false;
    variant_new_nil(result);
    if (self->type == GDEXTENSION_VARIANT_TYPE_OBJECT) {
        done = object_call(self->as.object, text_at(method), arguments, count, result);
    } else if (self->type == GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY && strcmp(text_at(method), "resize") == 0) {
        int64_t size = of_type(arguments[0], GDEXTENSION_VARIANT_TYPE_INT)->as.integer;
        if (self->as.array == NULL || self->as.array->size != size) {
            unshare(self->as.array);
            self->as.array = shared_new(NULL, size);
        }
        done = true;
    }
    error->error = done ? GDEXTENSION_CALL_OK : GDEXTENSION_CALL_ERROR_INVALID_METHOD;
}

/* The registry of classes. */

static struct {
    GDExtensionClassCreationInfo2 info;
    char name[64];
    int methods, properties, signals;
    struct {
        char name[64];
        void *userdata;
        GDExtensionClassMethodCall call;
        GDExtensionClassMethodPtrCall pointer_call;
        bool returns;
        uint32_t arguments;
    } method[MAX_METHODS];
} registry;

static int method_named(const char *name) {
    for (int i = 0; i < registry.methods; i++) {
        if (strcmp(registry.method[i].name, name) == 0) {
            return i;
        }
    }
    fail("there is no method %s", name);
    return -1;
}

static void register_class(
    void *library, const void *name, const void *parent, const GDExtensionClassCreationInfo2 *info) {
    if (library != &registry || strcmp(text_at(parent), "Node") != 0) {
        fail("not the library's own pointer, or not a Node");
    }
    registry.info = *info;
    snprintf(registry.name, sizeof registry.name, "%s", text_at(name));
}

static void register_method(void *library, const void *class_name, const GDExtensionClassMethodInfo *info) {
    (void)library;
    if (strcmp(text_at(class_name), registry.name) != 0 || registry.methods == MAX_METHODS) {
        fail("a method of an unknown class, or too many");
    }
    for (uint32_t i = 0; i < info->argument_count; i++) {
        if (text_at(info->arguments_info[i].name)[0] == '\0' || info->arguments_info[i].hint_string == NULL) {
            fail("%s has an argument without a name or hint", text_at(info->name));
        }
    }
    snprintf(registry.method[registry.methods].name, 64, "%s", text_at(info->name));
    registry.method[registry.methods].userdata = info->method_userdata;
    registry.method[registry.methods].call = info->call_func;
    registry.method[registry.methods].pointer_call = info->ptrcall_func;
    registry.method[registry.methods].returns = info->has_return_value;
    registry.method[registry.methods].arguments = info->argument_count;
    registry.methods++;
}

static void register_property(
    void *library, const void *class_name, const GDExtensionPropertyInfo *info, const void *setter,
    const void *getter) {
    (void)library;
    (void)class_name;
    (void)info;
    int get = method_named(text_at(getter));
    if (!registry.method[get].returns || registry.method[get].arguments != 0) {
        fail("%s is no getter", text_at(getter));
    }
    if (text_at(setter)[0] != '\0' && registry.method[method_named(text_at(setter))].arguments != 1) {
        fail("%s is no setter", text_at(setter));
    }
    registry.properties++;
}

static void register_signal(
    void *library, const void *class_name, const void *name, const GDExtensionPropertyInfo *arguments, int64_t count) {
    (void)library;
    (void)class_name;
    (void)name;
    (void)arguments;
    registry.signals += count > 0;
}

static void unregister_class(void *library, const void *name) {
    (void)library;
    if (strcmp(text_at(name), registry.name) != 0) {
        fail("an unknown class is taken away");
    }
    registry.name[0] = '\0';
}

static void print_error(
    const char *text, const char *function, const char *file, int32_t line, GDExtensionBool notify) {
    (void)notify;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, function, text);
}

static const char *withheld; /* a function that this host pretends not to have */

static GDExtensionInterfaceFunctionPtr get_proc_address(const char *name) {
    static const struct {
        const char *name;
        GDExtensionInterfaceFunctionPtr function;
    } functions[] = {
#define OFFER(name, function) {name, (GDExtensionInterfaceFunctionPtr)function}
        OFFER("print_error", print_error),
        OFFER("string_name_new_with_latin1_chars", new_name),
        OFFER("string_new_with_utf8_chars", new_text),
        OFFER("string_to_utf8_chars", text_to_utf8),
        OFFER("variant_new_nil", variant_new_nil),
        OFFER("variant_new_copy", variant_new_copy),
        OFFER("variant_destroy", variant_destroy),
        OFFER("variant_call", variant_call),
        OFFER("get_variant_from_type_constructor", from_type),
        OFFER("get_variant_to_type_constructor", to_type),
        OFFER("variant_get_ptr_constructor", constructor_of),
        OFFER("variant_get_ptr_destructor", destructor_of),
        OFFER("variant_get_ptr_operator_evaluator", evaluator_of),
        OFFER("packed_byte_array_operator_index", byte_at),
        OFFER("global_get_singleton", singleton),
        OFFER("classdb_construct_object", construct_object),
        OFFER("object_set_instance", set_instance),
        OFFER("classdb_register_extension_class2", register_class),
        OFFER("classdb_register_extension_class_method", register_method),
        OFFER("classdb_register_extension_class_property", register_property),
        OFFER("classdb_register_extension_class_signal", register_signal),
        OFFER("classdb_unregister_extension_class", unregister_class),
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strcmp(functions[i].name, name) == 0 && (withheld == NULL || strcmp(withheld, name) != 0)) {
            return functions[i].function;
        }
    }
    return NULL;
}

/* The game. */

static host_variant call(object *node, const char *method, int count, host_variant *arguments) {
    GDExtensionConstVariantPtr pointers[4];
    GDExtensionCallError error = {GDEXTENSION_CALL_OK, 0, 0};
    host_variant result;
    int which = method_named(method);
    variant_new_nil(&result);
    for (int i = 0; i < count; i++) {
        pointers[i] = &arguments[i];
    }
    registry.method[which].call(registry.method[which].userdata, node->instance, pointers, count, &result, &error);
    if (error.error != GDEXTENSION_CALL_OK) {
        fail("%s: call error %d", method, error.error);
    }
    for (int i = 0; i < count; i++) {
        variant_destroy(&arguments[i]);
    }
    return result;
}

static host_variant text_variant(const char *text) {
    return (host_variant){.type = GDEXTENSION_VARIANT_TYPE_STRING, .as.text = shared_new(text, (int64_t)strlen(text))};
}

static host_variant real_variant(double real) {
    return (host_variant){.type = GDEXTENSION_VARIANT_TYPE_FLOAT, .as.real = real};
}

static int64_t integer_of(object *node, const char *method) { return call(node, method, 0, NULL).as.integer; }

static void run_virtual(object *node, const char *name, double delta) {
    shared *wanted = shared_new(name, (int64_t)strlen(name));
    GDExtensionClassCallVirtual function = registry.info.get_virtual_func(registry.info.class_userdata, &wanted);
    unshare(wanted);
    if (function == NULL) {
        fail("%s is not overridden", name);
    }
    GDExtensionConstTypePtr arguments[] = {&delta};
    function(node->instance, arguments, NULL);
}

static void rest_ms(long ms) {
    struct timespec pause = {0, ms * 1000000};
    nanosleep(&pause, NULL);
}

static void check_wrong_calls(object *node) {
    GDExtensionCallError error = {GDEXTENSION_CALL_OK, 0, 0};
    host_variant result;
    int which = method_named("hold");
    variant_new_nil(&result);
    registry.method[which].call(registry.method[which].userdata, node->instance, NULL, 0, &result, &error);
    if (error.error != GDEXTENSION_CALL_ERROR_TOO_FEW_ARGUMENTS) {
        fail("hold without arguments was taken");
    }
}

static void check_pointer_calls(object *node, const char *endpoint, object *texture) {
    int get = method_named("get_endpoint");
    int id = method_named("get_frame_id");
    int picture = method_named("get_texture");
    shared *told = shared_new("", 0);
    int64_t number = -1;
    object *got = NULL;
    int before = texture->references;
    registry.method[get].pointer_call(registry.method[get].userdata, node->instance, NULL, &told);
    if (strcmp((const char *)told->bytes, endpoint) != 0) {
        fail("get_endpoint by pointers: %s", (const char *)told->bytes);
    }
    unshare(told);
    registry.method[id].pointer_call(registry.method[id].userdata, node->instance, NULL, &number);
    registry.method[picture].pointer_call(registry.method[picture].userdata, node->instance, NULL, &got);
    if (number < 0 || got != texture || texture->references != before + 1) {
        fail("values by pointers are wrong");
    }
    object_release(got);
}

static void show(object *node, int frames, int patience_ms) {
    int64_t last = integer_of(node, "get_frame_id");
    for (int shown = 0; shown < frames;) {
        run_virtual(node, "_process", 0.002);
        int64_t now = integer_of(node, "get_frame_id");
        shown += now != last;
        last = now;
        rest_ms(2);
        if ((patience_ms -= 2) <= 0) {
            host_variant why = call(node, "get_last_error", 0, NULL);
            fail("no frames: %s", (const char *)why.as.text->bytes);
        }
    }
}

int main(int count, char **words) {
    if (count != 4) {
        fail("fake_host LIBRARY FRAMES_ENDPOINT FRAMES");
    }
    void *library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fail("%s", dlerror());
    }
    GDExtensionBool (*enter)(
        GDExtensionInterfaceGetProcAddress, GDExtensionClassLibraryPtr, GDExtensionInitialization *);
    *(void **)&enter = dlsym(library, "bunraku_extension_init");
    GDExtensionInitialization initialization;
    withheld = "classdb_register_extension_class2"; /* as Godot 4.1 lacks it: refused, not crashed */
    if (enter == NULL || enter(get_proc_address, &registry, &initialization)) {
        fail("an engine that is too old was accepted");
    }
    withheld = NULL;
    if (!enter(get_proc_address, &registry, &initialization)) {
        fail("the extension refused");
    }
    initialization.initialize(initialization.userdata, GDEXTENSION_INITIALIZATION_SCENE);
    int methods = registry.methods, properties = registry.properties, signals = registry.signals;

    object *node = registry.info.create_instance_func(registry.info.class_userdata);
    host_variant endpoint = text_variant(words[2]);
    call(node, "set_endpoint", 1, &endpoint);
    host_variant texture = call(node, "get_texture", 0, NULL);
    check_wrong_calls(node);
    check_pointer_calls(node, words[2], texture.as.object);
    run_virtual(node, "_enter_tree", 0);
    host_variant held[] = {text_variant("jawOpen"), real_variant(0.5)};
    call(node, "hold", 2, held);
    host_variant mood = text_variant("happy");
    call(node, "express", 1, &mood);
    host_variant mixed[] = {text_variant("Ren"), real_variant(0.25)};
    call(node, "mix", 2, mixed);
    host_variant psi = real_variant(0.5);
    call(node, "truncate", 1, &psi);
    host_variant too_much[] = {text_variant("Ren"), real_variant(1.5)};
    call(node, "mix", 2, too_much); /* refused, and changes nothing */
    show(node, atoi(words[3]), 60000);
    host_variant let_go = text_variant("jawOpen");
    call(node, "release", 1, &let_go);
    call(node, "end_mix", 0, NULL);
    int64_t state = integer_of(node, "get_state");
    run_virtual(node, "_exit_tree", 0);
    run_virtual(node, "_process", 0);
    run_virtual(node, "_enter_tree", 0);
    show(node, 3, 60000);
    host_variant nonsense = text_variant("udp://nowhere");
    call(node, "set_endpoint", 1, &nonsense);
    int64_t refused = integer_of(node, "get_state");
    host_variant missing = text_variant("/nowhere/aki.key");
    call(node, "set_key_file", 1, &missing);
    refused += integer_of(node, "get_state");
    int updates = texture.as.object->updates, replacements = texture.as.object->replacements;
    run_virtual(node, "_exit_tree", 0);
    int state_signals = node->state_signals, size_signals = node->size_signals;
    registry.info.free_instance_func(registry.info.class_userdata, node->instance);
    free(node);
    alive--;
    variant_destroy(&texture);
    initialization.deinitialize(initialization.userdata, GDEXTENSION_INITIALIZATION_SCENE);
    printf(
        "methods=%d properties=%d signals=%d state=%" PRId64 " refused=%" PRId64 " updates=%d replacements=%d "
        "state_signals=%d size_signals=%d sum=%" PRIu64 " copies=%d alive=%d registered=%d\n",
        methods, properties, signals, state, refused, updates, replacements, state_signals, size_signals, shown_sum,
        copies_on_write, alive, registry.name[0] != '\0');
    return 0;
}
