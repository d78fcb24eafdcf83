#include "class_binding.h"

#include <string.h>

enum { PROPERTY_USAGE_DEFAULT = 6 }; /* stored and shown in the inspector; extension_api.json: PropertyUsageFlags */

static void value_of_variant(GDExtensionVariantType type, GDExtensionConstVariantPtr from, value *to) {
    GDExtensionVariantPtr source = (GDExtensionVariantPtr)from; /* Godot's signature lacks a const; it only reads */
    if (type == TEXT) {
        uint64_t string;
        godot.to_string(&string, source);
        text_of_string(&string, to->text, sizeof to->text);
        godot.destroy_string(&string);
    } else if (type == INTEGER) {
        godot.to_int(&to->integer, source);
    } else {
        godot.to_float(&to->real, source);
    }
}

static void call_from_script(void *userdata, GDExtensionClassInstancePtr instance,
                             const GDExtensionConstVariantPtr *arguments, GDExtensionInt count,
                             GDExtensionVariantPtr returned, GDExtensionCallError *error) {
    const method *called = userdata;
    receiver *self = instance;
    value values[MAX_ARGUMENTS];
    value result;
    error->error = GDEXTENSION_CALL_OK;
    if (count != called->argument_count) {
        error->error = count < called->argument_count ? GDEXTENSION_CALL_ERROR_TOO_FEW_ARGUMENTS
                                                      : GDEXTENSION_CALL_ERROR_TOO_MANY_ARGUMENTS;
        error->expected = called->argument_count;
        return;
    }
    for (int i = 0; i < called->argument_count; i++) {
        value_of_variant(called->argument_types[i], arguments[i], &values[i]);
    }
    called->body(self, values, &result);
    if (called->returns == NOTHING) {
        return;
    }
    godot.variant_destroy(returned);
    if (called->returns == OBJECT) {
        godot.variant_new_copy(returned, result.object);
    } else if (called->returns == TEXT) {
        variant text = variant_of_text(result.text);
        godot.variant_new_copy(returned, &text);
        godot.variant_destroy(&text);
    } else if (called->returns == INTEGER) {
        godot.from_int(returned, &result.integer);
    } else {
        godot.from_float(returned, &result.real);
    }
}

static void call_by_pointers(void *userdata, GDExtensionClassInstancePtr instance,
                             const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr returned) {
    const method *called = userdata;
    receiver *self = instance;
    value values[MAX_ARGUMENTS];
    value result;
    for (int i = 0; i < called->argument_count; i++) {
        if (called->argument_types[i] == TEXT) {
            text_of_string(arguments[i], values[i].text, sizeof values[i].text);
        } else if (called->argument_types[i] == INTEGER) {
            values[i].integer = *(const int64_t *)arguments[i];
        } else {
            values[i].real = *(const double *)arguments[i];
        }
    }
    called->body(self, values, &result);
    if (called->returns == OBJECT) {
        variant object;
        godot.variant_new_copy(&object, result.object);
        call_method(&object, "reference", NULL, 0); /* what is returned this way carries a share of its own */
        godot.to_object(returned, &object);
        godot.variant_destroy(&object);
    } else if (called->returns == TEXT) {
        godot.destroy_string(returned);
        godot.string_new(returned, result.text);
    } else if (called->returns == INTEGER) {
        *(int64_t *)returned = result.integer;
    } else if (called->returns == REAL) {
        *(double *)returned = result.real;
    }
}

/* A property's or argument's description; its names and hint are freed by forget(). */
typedef struct description {
    GDExtensionPropertyInfo info;
    string_name name;
    string_name class_name;
    uint64_t hint;
} description;

static void describe(description *about, GDExtensionVariantType type, const char *name) {
    godot.string_name_new(&about->name, name, false);
    godot.string_name_new(&about->class_name, type == OBJECT ? "ImageTexture" : "", false);
    godot.string_new(&about->hint, "");
    about->info.type = type;
    about->info.name = &about->name;
    about->info.class_name = &about->class_name;
    about->info.hint = 0;
    about->info.hint_string = &about->hint;
    about->info.usage = PROPERTY_USAGE_DEFAULT;
}

static void forget(description *about) {
    godot.destroy_string_name(&about->name);
    godot.destroy_string_name(&about->class_name);
    godot.destroy_string(&about->hint);
}

void bind_method(GDExtensionClassLibraryPtr library, const string_name *class_name, method *which) {
    description returned;
    description arguments[MAX_ARGUMENTS];
    GDExtensionPropertyInfo infos[MAX_ARGUMENTS];
    GDExtensionClassMethodArgumentMetadata metadata[MAX_ARGUMENTS];
    string_name name;
    GDExtensionClassMethodInfo info;
    memset(&info, 0, sizeof info);
    godot.string_name_new(&name, which->name, false);
    describe(&returned, which->returns, "");
    for (int i = 0; i < which->argument_count; i++) {
        describe(&arguments[i], which->argument_types[i], which->argument_names[i]);
        infos[i] = arguments[i].info;
        metadata[i] = GDEXTENSION_METHOD_ARGUMENT_METADATA_NONE;
    }
    info.name = &name;
    info.method_userdata = which;
    info.call_func = call_from_script;
    info.ptrcall_func = call_by_pointers;
    info.method_flags = GDEXTENSION_METHOD_FLAGS_DEFAULT;
    info.has_return_value = which->returns != NOTHING;
    info.return_value_info = &returned.info;
    info.return_value_metadata = GDEXTENSION_METHOD_ARGUMENT_METADATA_NONE;
    info.argument_count = (uint32_t)which->argument_count;
    info.arguments_info = infos;
    info.arguments_metadata = metadata;
    godot.register_method(library, class_name, &info);
    for (int i = 0; i < which->argument_count; i++) {
        forget(&arguments[i]);
    }
    forget(&returned);
    godot.destroy_string_name(&name);
}

void bind_property(GDExtensionClassLibraryPtr library, const string_name *class_name, GDExtensionVariantType type,
                   const char *name, const char *setter, const char *getter) {
    description about;
    string_name set;
    string_name get;
    describe(&about, type, name);
    if (setter[0] == '\0') {
        about.info.usage = 0; /* for scripts only: it tells something and is neither stored nor edited */
    }
    godot.string_name_new(&set, setter, false);
    godot.string_name_new(&get, getter, false);
    godot.register_property(library, class_name, &about.info, &set, &get);
    godot.destroy_string_name(&get);
    godot.destroy_string_name(&set);
    forget(&about);
}

void bind_signal(GDExtensionClassLibraryPtr library, const string_name *class_name, const char *name,
                 const char *first, const char *second) {
    description arguments[2];
    GDExtensionPropertyInfo infos[2];
    string_name signal;
    int count = second != NULL ? 2 : 1;
    describe(&arguments[0], INTEGER, first);
    infos[0] = arguments[0].info;
    if (second != NULL) {
        describe(&arguments[1], INTEGER, second);
        infos[1] = arguments[1].info;
    }
    godot.string_name_new(&signal, name, false);
    godot.register_signal(library, class_name, &signal, infos, count);
    godot.destroy_string_name(&signal);
    for (int i = 0; i < count; i++) {
        forget(&arguments[i]);
    }
}
