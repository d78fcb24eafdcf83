#pragma once

#include "CoreMinimal.h"
#include "BunrakuTypes.generated.h"

/** How a receiver stands with its producer. Twin: bunraku_state in bunraku/client.h. */
UENUM(BlueprintType)
enum class EBunrakuState : uint8
{
    /** Never heard, silent for 5 s, or said goodbye. */
    Lost,
    /** A good message within the last 1.5 s. */
    Live,
    /** Silent for 1.5 s: hold the last picture, perhaps fade it. */
    Stale,
    /** What arrives cannot be used, or the keys were refused; reconnecting with growing pauses. */
    Error,
    /** The producer speaks another major version; update one of the two. */
    Incompatible,
};

/** How pictures may travel; where a producer does not offer what was chosen, they come raw. */
UENUM(BlueprintType)
enum class EBunrakuEncoding : uint8
{
    /** Shared memory on this host, otherwise raw. */
    Automatic,
    /** As they are. */
    Raw,
    /** Lossless, about a third of the bytes. */
    Lz4,
    /** Colour as JPEG, about a thirtieth of the bytes: for a network. */
    Jpeg,
    /** Shared memory: same host and same user only. */
    SharedMemory,
};

/** Order of the bytes of a pixel in the textures; the native client converts. */
UENUM(BlueprintType)
enum class EBunrakuPixelFormat : uint8
{
    /** PF_B8G8R8A8, which every platform of Unreal can show. */
    Bgra8,
    /** PF_R8G8B8A8, what the wire carries. */
    Rgba8,
};

/** One control that the character takes. */
USTRUCT(BlueprintType)
struct BUNRAKU_API FBunrakuControl
{
    GENERATED_BODY()

    /** For example "jawOpen" or "headYaw". */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    FString Name;

    /** Heading under which people look for it. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    FString Group;

    /** Degrees for poses and gaze, otherwise mostly 0 to 1. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float Minimum = 0.0f;

    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float Maximum = 0.0f;

    /** Value when nobody moves the character. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float Rest = 0.0f;
};

/** What a receiver has seen since it was opened. Times are medians in milliseconds, below 0 until they are known. */
USTRUCT(BlueprintType)
struct BUNRAKU_API FBunrakuStatistics
{
    GENERATED_BODY()

    /** From publishing a picture to its arrival in the native client. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float ArrivalAgeMs = -1.0f;

    /** From publishing a picture to the tick that took it. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float TakenAgeMs = -1.0f;

    /** From sending a control to taking the picture that shows it. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float MotionToPhotonMs = -1.0f;

    /** Pictures per second that the producer makes, 0 until it has told. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    float ProducerFps = 0.0f;

    /** Pictures that arrived and were news. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Received = 0;

    /** Pictures that went into a texture. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Shown = 0;

    /** Pictures overtaken by a newer one before a tick took them. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Skipped = 0;

    /** Ticks that found all textures still being written. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Deferred = 0;

    /** Gaps in the numbers of the pictures. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Missed = 0;

    /** Messages that broke the protocol. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Bad = 0;

    /** Control states that the producer refused. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    int64 Refused = 0;

    /** Name of the stream, empty until one was heard. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    FString Stream;

    /** Engine that draws, for example "onnxruntime/CPU fp32". */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    FString Provider;

    /** How the pictures travel now. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    EBunrakuEncoding Encoding = EBunrakuEncoding::Automatic;

    /** True if the producer says that a neural network draws the pictures. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    bool bMadeByAI = false;

    /** Licence or consent reference of the character. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    FString Source;

    /** What was wrong last, empty if nothing was. */
    UPROPERTY(BlueprintReadOnly, Category = "Bunraku")
    FString LastError;
};
