/*
 * A class of the extension as Godot sees it: methods, properties and signals from plain C, and the two ways in which
 * Godot calls them. Knows nothing of what they do.
 */
#ifndef BUNRAKU_CLASS_BINDING_H
#define BUNRAKU_CLASS_BINDING_H

#include "godot_api.h"

#define TEXT_BYTES 512 /* longer texts from scripts are cut off */
#define MAX_ARGUMENTS 2

#define NOTHING GDEXTENSION_VARIANT_TYPE_NIL
#define TEXT GDEXTENSION_VARIANT_TYPE_STRING
#define INTEGER GDEXTENSION_VARIANT_TYPE_INT
#define REAL GDEXTENSION_VARIANT_TYPE_FLOAT
#define OBJECT GDEXTENSION_VARIANT_TYPE_OBJECT

/* The node that a method is called on; native_receiver.c says what it is. */
typedef struct receiver receiver;

/* An argument or a return value on its way between Godot's kinds of values and C. */
typedef union value {
    int64_t integer;
    double real;
    char text[TEXT_BYTES];
    const variant *object; /* returned only; the method keeps it */
} value;

typedef void (*method_body)(receiver *self, const value *arguments, value *returned);

typedef struct method {
    const char *name;
    method_body body;
    GDExtensionVariantType returns;
    int argument_count;
    GDExtensionVariantType argument_types[MAX_ARGUMENTS];
    const char *argument_names[MAX_ARGUMENTS];
} method;

/* Make a method known; `which` must outlive the class. */
void bind_method(GDExtensionClassLibraryPtr library, const string_name *class_name, method *which);

/* With an empty setter the property is for scripts only: neither stored nor edited. */
void bind_property(GDExtensionClassLibraryPtr library, const string_name *class_name, GDExtensionVariantType type,
                   const char *name, const char *setter, const char *getter);

/* A signal with one or two arguments, all of them integers; `second` may be NULL. */
void bind_signal(GDExtensionClassLibraryPtr library, const string_name *class_name, const char *name,
                 const char *first, const char *second);

#endif /* BUNRAKU_CLASS_BINDING_H */
