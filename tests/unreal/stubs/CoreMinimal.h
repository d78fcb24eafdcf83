/*
 * A small stand-in for Unreal's core, so that the plugin can be compiled and run where there is no Unreal.
 *
 * It has what the plugin uses and nothing more. Names and signatures are those of Epic's public documentation for 5.3;
 * behaviour is imitated where the plugin depends on it: objects are destroyed in the engine's three steps, bounds are
 * checked, strings are UTF-16, a delegate skips listeners that are gone.
 */
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

using uint8 = std::uint8_t;
using uint32 = std::uint32_t;
using uint64 = std::uint64_t;
using int32 = std::int32_t;
using int64 = std::int64_t;
using TCHAR = char16_t;
template <class Signature>
using TFunction = std::function<Signature>;

#define TEXT(Literal) u##Literal
#define PLATFORM_WINDOWS 0
#define PLATFORM_MAC 0

// Macros of Unreal's whose short names other code must not use.
#define check(Expression) stub::Check(static_cast<bool>(Expression), #Expression)
#define verify(Expression) stub::Check(static_cast<bool>(Expression), #Expression)
#define ensure(Expression) (static_cast<bool>(Expression))
#define PI (3.1415926535897932f)
#define INDEX_NONE (-1)
#define FORCEINLINE inline

// What Unreal's header tool reads. GENERATED_BODY becomes what tests/unreal/header_tool.py wrote for that line.
#define UCLASS(...)
#define USTRUCT(...)
#define UENUM(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define BODY_MACRO_COMBINE_INNER(A, B, C, D) A##B##C##D
#define BODY_MACRO_COMBINE(A, B, C, D) BODY_MACRO_COMBINE_INNER(A, B, C, D)
#define GENERATED_BODY(...) BODY_MACRO_COMBINE(CURRENT_FILE_ID, _, __LINE__, _GENERATED_BODY)

namespace stub
{
[[noreturn]] inline void Die(const char* Why)
{
    std::fprintf(stderr, "stand-in for Unreal: %s\n", Why);
    std::abort();
}

inline void Check(bool bHolds, const char* Why)
{
    if (!bHolds)
    {
        Die(Why);
    }
}

std::string ToUtf8(const TCHAR* Text);
std::u16string ToUtf16(const char* Text);
}

#define TCHAR_TO_UTF8(Text) (stub::ToUtf8(Text).c_str())
#define UTF8_TO_TCHAR(Text) (stub::ToUtf16(Text).c_str())

// ---- strings

class FString
{
public:
    FString() = default;
    FString(const TCHAR* Text) : Characters(Text == nullptr ? u"" : Text) {}

    const TCHAR* operator*() const { return Characters.c_str(); }
    bool IsEmpty() const { return Characters.empty(); }
    void Empty() { Characters.clear(); }
    int32 Len() const { return static_cast<int32>(Characters.size()); }

    friend bool operator==(const FString& A, const FString& B) { return A.Characters == B.Characters; }
    friend bool operator!=(const FString& A, const FString& B) { return !(A == B); }

private:
    std::u16string Characters;
};

class FName
{
public:
    FName() = default;
    FName(const TCHAR* Text) : Name(stub::ToUtf8(Text)) {}
    friend bool operator==(const FName& A, const FName& B) { return A.Name == B.Name; }
    friend bool operator<(const FName& A, const FName& B) { return A.Name < B.Name; }

private:
    std::string Name;
};

// ---- logging

namespace stub
{
// One argument of a log line; a wrong one for its conversion ends the program, as it would not compile in Unreal.
struct FLogArgument
{
    FLogArgument(const TCHAR* InText) : Text(InText) {}
    FLogArgument(int InNumber) : bSigned(true), Number(InNumber) {}
    FLogArgument(unsigned InNumber) : Number(InNumber) {}

    const TCHAR* Text = nullptr;
    bool bSigned = false;
    long long Number = 0;
};

void Log(const char* Category, const char* Verbosity, const TCHAR* Format, const std::vector<FLogArgument>& Arguments);

template <class... Types>
void LogLine(const char* Category, const char* Verbosity, const TCHAR* Format, const Types&... Arguments)
{
    Log(Category, Verbosity, Format, std::vector<FLogArgument>{FLogArgument(Arguments)...});
}
}

#define DECLARE_LOG_CATEGORY_EXTERN(Name, Default, Compiled) extern const char* const Name
#define DEFINE_LOG_CATEGORY(Name) const char* const Name = #Name
#define UE_LOG(Category, Verbosity, Format, ...) stub::LogLine(Category, #Verbosity, Format __VA_OPT__(, ) __VA_ARGS__)

// ---- containers

template <class T>
class TArray
{
public:
    int32 Num() const { return static_cast<int32>(Items.size()); }
    void SetNum(int32 Count) { Items.resize(static_cast<std::size_t>(Count)); }
    void Empty() { Items.clear(); }
    void Add(T Item) { Items.push_back(std::move(Item)); }
    T& AddDefaulted_GetRef() { return Items.emplace_back(); }
    T& operator[](int32 Index)
    {
        stub::Check(Index >= 0 && Index < Num(), "an index beyond a TArray");
        return Items[static_cast<std::size_t>(Index)];
    }
    const T& operator[](int32 Index) const { return const_cast<TArray&>(*this)[Index]; }
    auto begin() { return Items.begin(); }
    auto end() { return Items.end(); }
    auto begin() const { return Items.begin(); }
    auto end() const { return Items.end(); }

private:
    std::vector<T> Items;
};

template <class K, class V>
struct TPair
{
    K Key;
    V Value;
};

template <class K, class V>
class TMap
{
public:
    void Add(const K& Key, const V& Value)
    {
        Remove(Key);
        Pairs.push_back({Key, Value});
    }
    void Remove(const K& Key)
    {
        for (std::size_t Index = Pairs.size(); Index-- > 0;)
        {
            if (Pairs[Index].Key == Key)
            {
                Pairs.erase(Pairs.begin() + static_cast<std::ptrdiff_t>(Index));
            }
        }
    }
    auto begin() const { return Pairs.begin(); }
    auto end() const { return Pairs.end(); }

private:
    std::vector<TPair<K, V>> Pairs;
};

template <class T>
class TOptional
{
public:
    TOptional& operator=(const T& Value)
    {
        Held = Value;
        return *this;
    }
    bool IsSet() const { return Held.has_value(); }
    void Reset() { Held.reset(); }
    const T& GetValue() const
    {
        stub::Check(IsSet(), "the value of an unset TOptional");
        return *Held;
    }

private:
    std::optional<T> Held;
};

template <class T>
class TSharedPtr
{
public:
    TSharedPtr() = default;
    explicit TSharedPtr(std::shared_ptr<T> InHeld) : Held(std::move(InHeld)) {}
    bool IsValid() const { return Held != nullptr; }
    T* operator->() const { return Held.get(); }

private:
    std::shared_ptr<T> Held;
};

// ---- mathematics; X forward, Y right, Z up, degrees

struct FMath
{
    template <class T>
    static T Max(T A, T B) { return A < B ? B : A; }
    template <class T>
    static T Clamp(T Value, T Low, T High) { return Value < Low ? Low : High < Value ? High : Value; }
};

struct FVector
{
    double X = 0.0, Y = 0.0, Z = 0.0;
    FVector() = default;
    FVector(double InX, double InY, double InZ) : X(InX), Y(InY), Z(InZ) {}
    friend FVector operator-(const FVector& A, const FVector& B) { return {A.X - B.X, A.Y - B.Y, A.Z - B.Z}; }
    friend double operator|(const FVector& A, const FVector& B) { return A.X * B.X + A.Y * B.Y + A.Z * B.Z; }
};

struct FVector2D
{
    double X = 0.0, Y = 0.0;
    FVector2D(double InX, double InY) : X(InX), Y(InY) {}
};

struct FRotator
{
    double Pitch = 0.0, Yaw = 0.0, Roll = 0.0;
    FRotator() = default;
    FRotator(double InPitch, double InYaw, double InRoll) : Pitch(InPitch), Yaw(InYaw), Roll(InRoll) {}
    bool ContainsNaN() const { return !std::isfinite(Pitch) || !std::isfinite(Yaw) || !std::isfinite(Roll); }
};

class FTransform
{
public:
    FTransform() = default;
    FTransform(const FRotator& InRotation, const FVector& InTranslation) : Rotation(InRotation), Translation(InTranslation) {}
    FVector GetLocation() const { return Translation; }
    FVector InverseTransformPositionNoScale(const FVector& Position) const;

private:
    FRotator Rotation;
    FVector Translation;
};

// ---- objects

class UObject
{
public:
    UObject();
    virtual ~UObject();
    UObject(const UObject&) = delete;
    UObject& operator=(const UObject&) = delete;

    virtual void BeginDestroy() { bBeginDestroyCalled = true; }
    virtual bool IsReadyForFinishDestroy() { return true; }
    virtual void FinishDestroy() { bFinishDestroyCalled = true; }

    FString GetPathName() const { return FString(u"/Stub/Object"); }
    void AddToRoot() { bRooted = true; }
    void RemoveFromRoot() { bRooted = false; }
    void MarkAsGarbage() { bGarbage = true; }

    // The stand-in's own, in place of a reachability search.
    int StubReferences = 0;
    const uint64 StubSerial;
    bool bRooted = false, bGarbage = false, bBeginDestroyCalled = false, bFinishDestroyCalled = false;
};

namespace stub
{
// Null if the object with this serial is gone or about to go.
UObject* FindObject(uint64 Serial);

// One run of the garbage collector: destroys, in the engine's steps, what nothing refers to. Objects that are not
// ready yet wait for the next run. Returns how many wait.
int CollectGarbage();
}

template <class T>
T* NewObject(UObject* = nullptr)
{
    return new T;
}

// A reference that keeps its object alive, as one marked UPROPERTY does.
template <class T>
class TObjectPtr
{
public:
    TObjectPtr(T* InObject = nullptr) : Object(InObject) { Count(1); }
    TObjectPtr(const TObjectPtr& Other) : Object(Other.Object) { Count(1); }
    TObjectPtr& operator=(const TObjectPtr& Other)
    {
        const TObjectPtr Before(*this);
        Count(-1);
        Object = Other.Object;
        Count(1);
        return *this;
    }
    ~TObjectPtr() { Count(-1); }

    operator T*() const { return Object; }
    T* operator->() const
    {
        Check();
        return Object;
    }
    T* Get() const { return Object; }

private:
    void Check() const { stub::Check(Object != nullptr, "a call through a TObjectPtr that is null"); }
    void Count(int Change)
    {
        if (Object != nullptr)
        {
            static_cast<UObject*>(Object)->StubReferences += Change;
        }
    }

    T* Object;
};

template <class T>
class TWeakObjectPtr
{
public:
    TWeakObjectPtr& operator=(T* Object)
    {
        Serial = Object == nullptr ? 0 : Object->StubSerial;
        return *this;
    }
    void Reset() { Serial = 0; }
    T* Get() const { return static_cast<T*>(stub::FindObject(Serial)); }

private:
    uint64 Serial = 0;
};

// ---- delegates

namespace stub
{
template <class... Types>
class TDynamicMulticastDelegate
{
public:
    template <class T>
    void AddDynamic(T* Listener, void (T::*Function)(Types...))
    {
        const uint64 Serial = Listener->StubSerial;
        Listeners.push_back([Serial, Function](Types... Arguments) {
            if (UObject* const Found = FindObject(Serial))
            {
                (static_cast<T*>(Found)->*Function)(Arguments...);
            }
        });
    }
    void Broadcast(Types... Arguments) const
    {
        const auto Copied = Listeners;
        for (const auto& Listener : Copied)
        {
            Listener(Arguments...);
        }
    }

private:
    std::vector<std::function<void(Types...)>> Listeners;
};
}

#define DECLARE_DYNAMIC_MULTICAST_DELEGATE(Name) \
    class Name : public stub::TDynamicMulticastDelegate<> {}
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, Type1, Param1) \
    class Name : public stub::TDynamicMulticastDelegate<Type1> {}
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(Name, Type1, Param1, Type2, Param2) \
    class Name : public stub::TDynamicMulticastDelegate<Type1, Type2> {}
