#include "godot_api.h"

#include <stdio.h>
#include <string.h>

godot_api godot;

typedef struct godot_string {
    uint64_t opaque;
} godot_string;

/* Godot hands every function out as one type of pointer; C lets them be cast to each other. */
#define LOAD(field, type, name)                                                           \
    do {                                                                                  \
        godot.field = (type)get_proc_address(name);                                       \
        if (godot.field == NULL) {                                                        \
            report_error("Bunraku: this Godot has no " name ". Use Godot 4.2 or later."); \
            return false;                                                                 \
        }                                                                                 \
    } while (0)

bool godot_api_load(GDExtensionInterfaceGetProcAddress get_proc_address) {
    memset(&godot, 0, sizeof godot);
    godot.print_error = (GDExtensionInterfacePrintError)get_proc_address("print_error");
    LOAD(string_name_new, GDExtensionInterfaceStringNameNewWithLatin1Chars, "string_name_new_with_latin1_chars");
    LOAD(string_new, GDExtensionInterfaceStringNewWithUtf8Chars, "string_new_with_utf8_chars");
    LOAD(string_to_utf8, GDExtensionInterfaceStringToUtf8Chars, "string_to_utf8_chars");
    LOAD(variant_new_nil, GDExtensionInterfaceVariantNewNil, "variant_new_nil");
    LOAD(variant_new_copy, GDExtensionInterfaceVariantNewCopy, "variant_new_copy");
    LOAD(variant_destroy, GDExtensionInterfaceVariantDestroy, "variant_destroy");
    LOAD(variant_call, GDExtensionInterfaceVariantCall, "variant_call");
    LOAD(byte_at, GDExtensionInterfacePackedByteArrayOperatorIndex, "packed_byte_array_operator_index");
    LOAD(get_singleton, GDExtensionInterfaceGlobalGetSingleton, "global_get_singleton");
    LOAD(construct_object, GDExtensionInterfaceClassdbConstructObject, "classdb_construct_object");
    LOAD(register_class, GDExtensionInterfaceClassdbRegisterExtensionClass2, "classdb_register_extension_class2");
    LOAD(register_method, GDExtensionInterfaceClassdbRegisterExtensionClassMethod,
         "classdb_register_extension_class_method");
    LOAD(register_property, GDExtensionInterfaceClassdbRegisterExtensionClassProperty,
         "classdb_register_extension_class_property");
    LOAD(register_signal, GDExtensionInterfaceClassdbRegisterExtensionClassSignal,
         "classdb_register_extension_class_signal");
    LOAD(unregister_class, GDExtensionInterfaceClassdbUnregisterExtensionClass, "classdb_unregister_extension_class");
    LOAD(set_instance, GDExtensionInterfaceObjectSetInstance, "object_set_instance");

    GDExtensionInterfaceGetVariantFromTypeConstructor from =
        (GDExtensionInterfaceGetVariantFromTypeConstructor)get_proc_address("get_variant_from_type_constructor");
    GDExtensionInterfaceGetVariantToTypeConstructor to =
        (GDExtensionInterfaceGetVariantToTypeConstructor)get_proc_address("get_variant_to_type_constructor");
    GDExtensionInterfaceVariantGetPtrConstructor constructor =
        (GDExtensionInterfaceVariantGetPtrConstructor)get_proc_address("variant_get_ptr_constructor");
    GDExtensionInterfaceVariantGetPtrDestructor destructor =
        (GDExtensionInterfaceVariantGetPtrDestructor)get_proc_address("variant_get_ptr_destructor");
    GDExtensionInterfaceVariantGetPtrOperatorEvaluator evaluator =
        (GDExtensionInterfaceVariantGetPtrOperatorEvaluator)get_proc_address("variant_get_ptr_operator_evaluator");
    if (from == NULL || to == NULL || constructor == NULL || destructor == NULL || evaluator == NULL) {
        report_error("Bunraku: this Godot lacks functions for Variants. Use Godot 4.2 or later.");
        return false;
    }
    godot.from_bool = from(GDEXTENSION_VARIANT_TYPE_BOOL);
    godot.from_int = from(GDEXTENSION_VARIANT_TYPE_INT);
    godot.from_float = from(GDEXTENSION_VARIANT_TYPE_FLOAT);
    godot.from_string = from(GDEXTENSION_VARIANT_TYPE_STRING);
    godot.from_object = from(GDEXTENSION_VARIANT_TYPE_OBJECT);
    godot.from_bytes = from(GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY);
    godot.to_bool = to(GDEXTENSION_VARIANT_TYPE_BOOL);
    godot.to_int = to(GDEXTENSION_VARIANT_TYPE_INT);
    godot.to_float = to(GDEXTENSION_VARIANT_TYPE_FLOAT);
    godot.to_string = to(GDEXTENSION_VARIANT_TYPE_STRING);
    godot.to_object = to(GDEXTENSION_VARIANT_TYPE_OBJECT);
    godot.to_bytes = to(GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY);
    godot.new_bytes = constructor(GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY, 0);
    godot.destroy_bytes = destructor(GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY);
    godot.destroy_string = destructor(GDEXTENSION_VARIANT_TYPE_STRING);
    godot.destroy_string_name = destructor(GDEXTENSION_VARIANT_TYPE_STRING_NAME);
    godot.names_equal = evaluator(
        GDEXTENSION_VARIANT_OP_EQUAL, GDEXTENSION_VARIANT_TYPE_STRING_NAME, GDEXTENSION_VARIANT_TYPE_STRING_NAME);
    return true;
}

variant variant_of_bool(bool value) {
    variant result;
    GDExtensionBool encoded = value;
    godot.from_bool(&result, &encoded);
    return result;
}

variant variant_of_int(int64_t value) {
    variant result;
    godot.from_int(&result, &value);
    return result;
}

variant variant_of_text(const char *text) {
    variant result;
    godot_string string;
    godot.string_new(&string, text);
    godot.from_string(&result, &string);
    godot.destroy_string(&string);
    return result;
}

variant variant_of_new(const char *class_name) {
    string_name name;
    godot.string_name_new(&name, class_name, false);
    GDExtensionObjectPtr object = godot.construct_object(&name);
    godot.destroy_string_name(&name);
    return variant_of_object(object);
}

variant variant_of_object(GDExtensionObjectPtr object) {
    variant result;
    godot.from_object(&result, &object);
    return result;
}

bool call_method(variant *self, const char *method, const variant *const *arguments, int count) {
    string_name name;
    variant returned;
    GDExtensionConstVariantPtr pointers[8] = {NULL};
    GDExtensionCallError error = {GDEXTENSION_CALL_OK, 0, 0};
    for (int i = 0; i < count; i++) {
        pointers[i] = arguments[i];
    }
    godot.string_name_new(&name, method, false);
    godot.variant_call(self, &name, pointers, count, &returned, &error);
    godot.destroy_string_name(&name);
    godot.variant_destroy(&returned);
    if (error.error != GDEXTENSION_CALL_OK) {
        char text[128];
        snprintf(text, sizeof text, "Bunraku: Godot refused the call of %s (error %d)", method, (int)error.error);
        report_error(text);
        return false;
    }
    return true;
}

bool ask_method(variant *self, const char *method) {
    string_name name;
    variant returned;
    GDExtensionBool answer = false;
    GDExtensionCallError error = {GDEXTENSION_CALL_OK, 0, 0};
    godot.string_name_new(&name, method, false);
    godot.variant_call(self, &name, NULL, 0, &returned, &error);
    godot.destroy_string_name(&name);
    if (error.error == GDEXTENSION_CALL_OK) {
        godot.to_bool(&answer, &returned);
    }
    godot.variant_destroy(&returned);
    return answer;
}

void text_of_string(GDExtensionConstStringPtr string, char *text, size_t capacity) {
    /* Godot writes no terminating zero and answers the length of the whole. */
    GDExtensionInt length = godot.string_to_utf8(string, text, (GDExtensionInt)(capacity - 1));
    if (length < 0) {
        length = 0;
    }
    text[(size_t)length < capacity ? (size_t)length : capacity - 1] = '\0';
}

bool name_is(GDExtensionConstStringNamePtr name, const char *text) {
    string_name other;
    GDExtensionBool equal = false;
    godot.string_name_new(&other, text, false);
    godot.names_equal(name, &other, &equal);
    godot.destroy_string_name(&other);
    return equal;
}

uint8_t *bytes_resize(packed_byte_array *bytes, int64_t count) {
    variant shared;
    variant wanted = variant_of_int(count);
    const variant *arguments[] = {&wanted};
    godot.from_bytes(&shared, bytes);
    godot.destroy_bytes(bytes);
    bool resized = call_method(&shared, "resize", arguments, 1);
    godot.to_bytes(bytes, &shared);
    godot.variant_destroy(&shared); /* before it is written to: memory that is shared would be copied */
    godot.variant_destroy(&wanted);
    return resized ? godot.byte_at(bytes, 0) : NULL;
}

void report_error(const char *text) {
    if (godot.print_error != NULL) {
        godot.print_error(text, "bunraku", __FILE__, __LINE__, false);
    }
}
