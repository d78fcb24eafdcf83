/*
 * The part of Godot that the extension uses, over the plain C interface: no godot-cpp, no generated bindings.
 *
 * Methods of engine classes are called by name through variant_call, so no method hashes of a particular Godot release
 * are compiled in. That costs about a microsecond per call, and there are three calls per frame.
 */
#ifndef BUNRAKU_GODOT_API_H
#define BUNRAKU_GODOT_API_H

#include <stdbool.h>

#include <gdextension_interface.h>

/* Room for any Variant: 24 bytes, or 40 in engines built with double precision. */
typedef struct variant {
    uint64_t opaque[5];
} variant;

typedef struct string_name {
    uint64_t opaque;
} string_name;

typedef struct packed_byte_array {
    uint64_t opaque[2];
} packed_byte_array;

/* What the extension needs of Godot; filled by godot_api_load(). */
typedef struct godot_api {
    GDExtensionInterfaceStringNameNewWithLatin1Chars string_name_new;
    GDExtensionInterfaceStringNewWithUtf8Chars string_new;
    GDExtensionInterfaceStringToUtf8Chars string_to_utf8;
    GDExtensionInterfaceVariantNewNil variant_new_nil;
    GDExtensionInterfaceVariantNewCopy variant_new_copy;
    GDExtensionInterfaceVariantDestroy variant_destroy;
    GDExtensionInterfaceVariantCall variant_call;
    GDExtensionInterfacePackedByteArrayOperatorIndex byte_at;
    GDExtensionInterfaceGlobalGetSingleton get_singleton;
    GDExtensionInterfaceClassdbConstructObject construct_object;
    GDExtensionInterfaceClassdbRegisterExtensionClass2 register_class;
    GDExtensionInterfaceClassdbRegisterExtensionClassMethod register_method;
    GDExtensionInterfaceClassdbRegisterExtensionClassProperty register_property;
    GDExtensionInterfaceClassdbRegisterExtensionClassSignal register_signal;
    GDExtensionInterfaceClassdbUnregisterExtensionClass unregister_class;
    GDExtensionInterfaceObjectSetInstance set_instance;
    GDExtensionInterfacePrintError print_error;
    GDExtensionVariantFromTypeConstructorFunc from_bool;
    GDExtensionVariantFromTypeConstructorFunc from_int;
    GDExtensionVariantFromTypeConstructorFunc from_float;
    GDExtensionVariantFromTypeConstructorFunc from_string;
    GDExtensionVariantFromTypeConstructorFunc from_object;
    GDExtensionVariantFromTypeConstructorFunc from_bytes;
    GDExtensionTypeFromVariantConstructorFunc to_bool;
    GDExtensionTypeFromVariantConstructorFunc to_int;
    GDExtensionTypeFromVariantConstructorFunc to_float;
    GDExtensionTypeFromVariantConstructorFunc to_string;
    GDExtensionTypeFromVariantConstructorFunc to_object;
    GDExtensionTypeFromVariantConstructorFunc to_bytes;
    GDExtensionPtrConstructor new_bytes;
    GDExtensionPtrDestructor destroy_bytes;
    GDExtensionPtrDestructor destroy_string;
    GDExtensionPtrDestructor destroy_string_name;
    GDExtensionPtrOperatorEvaluator names_equal;
} godot_api;

extern godot_api godot;

/* Ask Godot for everything in godot_api; false, with a message in Godot's log, if the engine lacks something. */
bool godot_api_load(GDExtensionInterfaceGetProcAddress get_proc_address);

/* Make a Variant; the caller destroys it. */
variant variant_of_bool(bool value);
variant variant_of_int(int64_t value);
variant variant_of_text(const char *text);

/*
 * A Variant that holds a new object. A RefCounted one lives as long as a Variant holds it, so destroying this frees it.
 */
variant variant_of_new(const char *class_name);

/* A Variant that refers to an object that somebody else owns. */
variant variant_of_object(GDExtensionObjectPtr object);

/* self.method(arguments...); what it returns is thrown away. False, with a message in Godot's log, if it failed. */
bool call_method(variant *self, const char *method, const variant *const *arguments, int count);

/* As call_method, for a method without arguments that answers true or false. */
bool ask_method(variant *self, const char *method);

/*
 * The UTF-8 text of a Godot String, cut off to `capacity` - 1 bytes.
 */
void text_of_string(GDExtensionConstStringPtr string, char *text, size_t capacity);

/* Whether a StringName is this text. */
bool name_is(GDExtensionConstStringNamePtr name, const char *text);

/* Give an array exactly `count` bytes that nobody else shares, and return where they lie. */
uint8_t *bytes_resize(packed_byte_array *bytes, int64_t count);

/* Say in Godot's log and debugger that something is wrong. */
void report_error(const char *text);

#endif /* BUNRAKU_GODOT_API_H */
