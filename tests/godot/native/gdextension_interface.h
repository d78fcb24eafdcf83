/*
 * Stands in for Godot's gdextension_interface.h where there is no Godot, so that the extension compiles and a fake host
 * can drive it. Declares what the extension uses of the interface that Godot documents, since 4.2, and nothing else.
 * Builds for a real engine take the real header: godot --dump-gdextension-interface.
 */
#ifndef GDEXTENSION_INTERFACE_STAND_IN_H
#define GDEXTENSION_INTERFACE_STAND_IN_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    GDEXTENSION_VARIANT_TYPE_NIL = 0,
    GDEXTENSION_VARIANT_TYPE_BOOL = 1,
    GDEXTENSION_VARIANT_TYPE_INT = 2,
    GDEXTENSION_VARIANT_TYPE_FLOAT = 3,
    GDEXTENSION_VARIANT_TYPE_STRING = 4,
    GDEXTENSION_VARIANT_TYPE_STRING_NAME = 21,
    GDEXTENSION_VARIANT_TYPE_OBJECT = 24,
    GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY = 29
} GDExtensionVariantType;

typedef enum { GDEXTENSION_VARIANT_OP_EQUAL = 0 } GDExtensionVariantOperator;

typedef void *GDExtensionVariantPtr, *GDExtensionUninitializedVariantPtr;
typedef void *GDExtensionStringNamePtr, *GDExtensionUninitializedStringNamePtr;
typedef void *GDExtensionStringPtr, *GDExtensionUninitializedStringPtr;
typedef void *GDExtensionTypePtr, *GDExtensionUninitializedTypePtr;
typedef void *GDExtensionObjectPtr, *GDExtensionClassInstancePtr, *GDExtensionClassLibraryPtr;
typedef const void *GDExtensionConstVariantPtr, *GDExtensionConstStringNamePtr, *GDExtensionConstStringPtr;
typedef const void *GDExtensionConstTypePtr, *GDExtensionConstObjectPtr;
typedef int64_t GDExtensionInt;
typedef uint8_t GDExtensionBool;

typedef enum {
    GDEXTENSION_CALL_OK = 0,
    GDEXTENSION_CALL_ERROR_INVALID_METHOD = 1,
    GDEXTENSION_CALL_ERROR_INVALID_ARGUMENT = 2,
    GDEXTENSION_CALL_ERROR_TOO_MANY_ARGUMENTS = 3,
    GDEXTENSION_CALL_ERROR_TOO_FEW_ARGUMENTS = 4
} GDExtensionCallErrorType;

typedef struct {
    GDExtensionCallErrorType error;
    int32_t argument;
    int32_t expected;
} GDExtensionCallError;

typedef struct {
    GDExtensionVariantType type;
    GDExtensionStringNamePtr name;
    GDExtensionStringNamePtr class_name;
    uint32_t hint;
    GDExtensionStringPtr hint_string;
    uint32_t usage;
} GDExtensionPropertyInfo;

/* Values. */
typedef void (*GDExtensionVariantFromTypeConstructorFunc)(GDExtensionUninitializedVariantPtr, GDExtensionTypePtr);
typedef void (*GDExtensionTypeFromVariantConstructorFunc)(GDExtensionUninitializedTypePtr, GDExtensionVariantPtr);
typedef void (*GDExtensionPtrConstructor)(GDExtensionUninitializedTypePtr, const GDExtensionConstTypePtr *);
typedef void (*GDExtensionPtrDestructor)(GDExtensionTypePtr);
typedef void (*GDExtensionPtrOperatorEvaluator)(GDExtensionConstTypePtr, GDExtensionConstTypePtr, GDExtensionTypePtr);

/* Methods of extension classes. */
typedef void (*GDExtensionClassMethodCall)(
    void *, GDExtensionClassInstancePtr, const GDExtensionConstVariantPtr *, GDExtensionInt, GDExtensionVariantPtr,
    GDExtensionCallError *);
typedef void (*GDExtensionClassMethodPtrCall)(
    void *, GDExtensionClassInstancePtr, const GDExtensionConstTypePtr *, GDExtensionTypePtr);
typedef enum { GDEXTENSION_METHOD_FLAGS_DEFAULT = 1 } GDExtensionClassMethodFlags;
typedef enum { GDEXTENSION_METHOD_ARGUMENT_METADATA_NONE = 0 } GDExtensionClassMethodArgumentMetadata;

typedef struct {
    GDExtensionStringNamePtr name;
    void *method_userdata;
    GDExtensionClassMethodCall call_func;
    GDExtensionClassMethodPtrCall ptrcall_func;
    uint32_t method_flags;
    GDExtensionBool has_return_value;
    GDExtensionPropertyInfo *return_value_info;
    GDExtensionClassMethodArgumentMetadata return_value_metadata;
    uint32_t argument_count;
    GDExtensionPropertyInfo *arguments_info;
    GDExtensionClassMethodArgumentMetadata *arguments_metadata;
    uint32_t default_argument_count;
    GDExtensionVariantPtr *default_arguments;
} GDExtensionClassMethodInfo;

/* Extension classes. What this extension leaves empty is declared as a plain pointer. */
typedef void (*GDExtensionClassCallVirtual)(
    GDExtensionClassInstancePtr, const GDExtensionConstTypePtr *, GDExtensionTypePtr);
typedef GDExtensionObjectPtr (*GDExtensionClassCreateInstance)(void *);
typedef void (*GDExtensionClassFreeInstance)(void *, GDExtensionClassInstancePtr);
typedef GDExtensionClassCallVirtual (*GDExtensionClassGetVirtual)(void *, GDExtensionConstStringNamePtr);

typedef struct {
    GDExtensionBool is_virtual, is_abstract, is_exposed;
    void *set_func, *get_func, *get_property_list_func, *free_property_list_func, *property_can_revert_func;
    void *property_get_revert_func, *validate_property_func, *notification_func, *to_string_func, *reference_func;
    void *unreference_func;
    GDExtensionClassCreateInstance create_instance_func;
    GDExtensionClassFreeInstance free_instance_func;
    void *recreate_instance_func;
    GDExtensionClassGetVirtual get_virtual_func;
    void *get_virtual_call_data_func, *call_virtual_with_data_func, *get_rid_func;
    void *class_userdata;
} GDExtensionClassCreationInfo2;

/* Functions of the engine, by the names that get_proc_address takes. */
typedef void (*GDExtensionInterfacePrintError)(const char *, const char *, const char *, int32_t, GDExtensionBool);
typedef void (*GDExtensionInterfaceStringNameNewWithLatin1Chars)(
    GDExtensionUninitializedStringNamePtr, const char *, GDExtensionBool);
typedef void (*GDExtensionInterfaceStringNewWithUtf8Chars)(GDExtensionUninitializedStringPtr, const char *);
typedef GDExtensionInt (*GDExtensionInterfaceStringToUtf8Chars)(GDExtensionConstStringPtr, char *, GDExtensionInt);
typedef void (*GDExtensionInterfaceVariantNewNil)(GDExtensionUninitializedVariantPtr);
typedef void (*GDExtensionInterfaceVariantNewCopy)(GDExtensionUninitializedVariantPtr, GDExtensionConstVariantPtr);
typedef void (*GDExtensionInterfaceVariantDestroy)(GDExtensionVariantPtr);
typedef void (*GDExtensionInterfaceVariantCall)(
    GDExtensionVariantPtr, GDExtensionConstStringNamePtr, const GDExtensionConstVariantPtr *, GDExtensionInt,
    GDExtensionUninitializedVariantPtr, GDExtensionCallError *);
typedef GDExtensionVariantFromTypeConstructorFunc (*GDExtensionInterfaceGetVariantFromTypeConstructor)(
    GDExtensionVariantType);
typedef GDExtensionTypeFromVariantConstructorFunc (*GDExtensionInterfaceGetVariantToTypeConstructor)(
    GDExtensionVariantType);
typedef GDExtensionPtrConstructor (*GDExtensionInterfaceVariantGetPtrConstructor)(GDExtensionVariantType, int32_t);
typedef GDExtensionPtrDestructor (*GDExtensionInterfaceVariantGetPtrDestructor)(GDExtensionVariantType);
typedef GDExtensionPtrOperatorEvaluator (*GDExtensionInterfaceVariantGetPtrOperatorEvaluator)(
    GDExtensionVariantOperator, GDExtensionVariantType, GDExtensionVariantType);
typedef uint8_t *(*GDExtensionInterfacePackedByteArrayOperatorIndex)(GDExtensionTypePtr, GDExtensionInt);
typedef GDExtensionObjectPtr (*GDExtensionInterfaceGlobalGetSingleton)(GDExtensionConstStringNamePtr);
typedef GDExtensionObjectPtr (*GDExtensionInterfaceClassdbConstructObject)(GDExtensionConstStringNamePtr);
typedef void (*GDExtensionInterfaceObjectSetInstance)(
    GDExtensionObjectPtr, GDExtensionConstStringNamePtr, GDExtensionClassInstancePtr);
typedef void (*GDExtensionInterfaceClassdbRegisterExtensionClass2)(
    GDExtensionClassLibraryPtr, GDExtensionConstStringNamePtr, GDExtensionConstStringNamePtr,
    const GDExtensionClassCreationInfo2 *);
typedef void (*GDExtensionInterfaceClassdbRegisterExtensionClassMethod)(
    GDExtensionClassLibraryPtr, GDExtensionConstStringNamePtr, const GDExtensionClassMethodInfo *);
typedef void (*GDExtensionInterfaceClassdbRegisterExtensionClassProperty)(
    GDExtensionClassLibraryPtr, GDExtensionConstStringNamePtr, const GDExtensionPropertyInfo *,
    GDExtensionConstStringNamePtr, GDExtensionConstStringNamePtr);
typedef void (*GDExtensionInterfaceClassdbRegisterExtensionClassSignal)(
    GDExtensionClassLibraryPtr, GDExtensionConstStringNamePtr, GDExtensionConstStringNamePtr,
    const GDExtensionPropertyInfo *, GDExtensionInt);
typedef void (*GDExtensionInterfaceClassdbUnregisterExtensionClass)(
    GDExtensionClassLibraryPtr, GDExtensionConstStringNamePtr);

/* Coming and going. */
typedef enum { GDEXTENSION_INITIALIZATION_SCENE = 2 } GDExtensionInitializationLevel;
typedef struct {
    GDExtensionInitializationLevel minimum_initialization_level;
    void *userdata;
    void (*initialize)(void *, GDExtensionInitializationLevel);
    void (*deinitialize)(void *, GDExtensionInitializationLevel);
} GDExtensionInitialization;
typedef void (*GDExtensionInterfaceFunctionPtr)(void);
typedef GDExtensionInterfaceFunctionPtr (*GDExtensionInterfaceGetProcAddress)(const char *);

#endif /* GDEXTENSION_INTERFACE_STAND_IN_H */
