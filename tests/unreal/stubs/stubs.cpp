#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "CoreMinimal.h"
#include "Engine/Texture2D.h"
#include "GameFramework/Actor.h"
#include "HAL/PlatformProcess.h"
#include "HAL/PlatformTime.h"
#include "Interfaces/IPluginManager.h"
#include "RenderCommandFence.h"
#include "RenderingThread.h"

// ---- strings

std::string stub::ToUtf8(const TCHAR* Text)
{
    std::string Bytes;
    for (; *Text != 0; ++Text)
    {
        uint32 Point = *Text;
        if (Point >= 0xD800 && Point < 0xDC00 && Text[1] >= 0xDC00 && Text[1] < 0xE000)
        {
            Point = 0x10000 + ((Point - 0xD800) << 10) + (*++Text - 0xDC00u);
        }
        const auto Tail = [&](int Shift) { Bytes += static_cast<char>(0x80 | ((Point >> Shift) & 0x3F)); };
        if (Point < 0x80)
        {
            Bytes += static_cast<char>(Point);
        }
        else if (Point < 0x800)
        {
            Bytes += static_cast<char>(0xC0 | (Point >> 6));
            Tail(0);
        }
        else if (Point < 0x10000)
        {
            Bytes += static_cast<char>(0xE0 | (Point >> 12));
            Tail(6);
            Tail(0);
        }
        else
        {
            Bytes += static_cast<char>(0xF0 | (Point >> 18));
            Tail(12);
            Tail(6);
            Tail(0);
        }
    }
    return Bytes;
}

std::u16string stub::ToUtf16(const char* Text)
{
    std::u16string Units;
    for (const char* Byte = Text; *Byte != 0;)
    {
        const uint8 Lead = static_cast<uint8>(*Byte++);
        const int Tails = Lead < 0x80 ? 0 : Lead < 0xE0 ? 1 : Lead < 0xF0 ? 2 : 3;
        uint32 Point = Tails == 0 ? Lead : Lead & (0x3Fu >> Tails);
        for (int Tail = 0; Tail < Tails && *Byte != 0; ++Tail)
        {
            Point = (Point << 6) | (static_cast<uint8>(*Byte++) & 0x3Fu);
        }
        if (Point >= 0x10000)
        {
            Units += static_cast<char16_t>(0xD800 + ((Point - 0x10000) >> 10));
            Units += static_cast<char16_t>(0xDC00 + ((Point - 0x10000) & 0x3FF));
        }
        else
        {
            Units += static_cast<char16_t>(Point);
        }
    }
    return Units;
}

void stub::Log(const char* Category, const char* Verbosity, const TCHAR* Format, const std::vector<FLogArgument>& Arguments)
{
    std::string Line;
    std::size_t Used = 0;
    const std::string Pattern = ToUtf8(Format);
    for (std::size_t Index = 0; Index < Pattern.size(); ++Index)
    {
        if (Pattern[Index] != '%')
        {
            Line += Pattern[Index];
            continue;
        }
        Check(Used < Arguments.size(), "a log line with too few arguments");
        const FLogArgument& Argument = Arguments[Used++];
        switch (Pattern[++Index])
        {
        case 's':
            Check(Argument.Text != nullptr, "%s in a log line without a TCHAR string");
            Line += ToUtf8(Argument.Text);
            break;
        case 'd':
            Check(Argument.Text == nullptr && Argument.bSigned, "%d in a log line without an int");
            Line += std::to_string(Argument.Number);
            break;
        case 'u':
            Check(Argument.Text == nullptr && !Argument.bSigned, "%u in a log line without an unsigned");
            Line += std::to_string(Argument.Number);
            break;
        default:
            Die("a conversion in a log line that the stand-in does not know");
        }
    }
    Check(Used == Arguments.size(), "a log line with too many arguments");
    std::fprintf(stderr, "%s: %s: %s\n", Category, Verbosity, Line.c_str());
}

// ---- mathematics

FVector FTransform::InverseTransformPositionNoScale(const FVector& Position) const
{
    const double Radians = std::acos(-1.0) / 180.0;
    const double SP = std::sin(Radians * Rotation.Pitch), CP = std::cos(Radians * Rotation.Pitch);
    const double SY = std::sin(Radians * Rotation.Yaw), CY = std::cos(Radians * Rotation.Yaw);
    const double SR = std::sin(Radians * Rotation.Roll), CR = std::cos(Radians * Rotation.Roll);
    const FVector Forward(CP * CY, CP * SY, SP);
    const FVector Right(SR * SP * CY - CR * SY, SR * SP * SY + CR * CY, -SR * CP);
    const FVector Up(-(CR * SP * CY + SR * SY), CY * SR - CR * SP * SY, CR * CP);
    const FVector From = Position - Translation;
    return FVector(From | Forward, From | Right, From | Up);
}

// ---- objects

namespace
{
uint64 NextSerial = 1;
std::map<uint64, UObject*> Alive;
}

UObject::UObject() : StubSerial(NextSerial++)
{
    Alive[StubSerial] = this;
}

UObject::~UObject()
{
    Alive.erase(StubSerial);
}

UObject* stub::FindObject(uint64 Serial)
{
    const auto Found = Alive.find(Serial);
    return Found == Alive.end() || Found->second->bGarbage || Found->second->bBeginDestroyCalled ? nullptr : Found->second;
}

int stub::CollectGarbage()
{
    int Waiting = 0;
    // What is deleted may have been the last to refer to others.
    for (bool bDeleted = true; bDeleted;)
    {
        bDeleted = false;
        Waiting = 0;
        const auto Copied = Alive;
        for (const auto& [Serial, Object] : Copied)
        {
            const bool bReachable = Object->bRooted || Object->StubReferences > 0;
            if (!Object->bBeginDestroyCalled && (Object->bGarbage || !bReachable))
            {
                Object->BeginDestroy();
                Check(Object->bBeginDestroyCalled, "a BeginDestroy that does not call its Super");
            }
        }
        for (const auto& [Serial, Object] : Copied)
        {
            if (!Object->bBeginDestroyCalled)
            {
                continue;
            }
            if (Object->StubReferences > 0 || !Object->IsReadyForFinishDestroy())
            {
                ++Waiting;
                continue;
            }
            Object->FinishDestroy();
            Check(Object->bFinishDestroyCalled, "a FinishDestroy that does not call its Super");
            delete Object;
            bDeleted = true;
        }
    }
    return Waiting;
}

// ---- the render thread

namespace
{
class FRenderThread
{
public:
    FRenderThread() : Thread([this] { Run(); }) {}

    ~FRenderThread()
    {
        {
            const std::lock_guard<std::mutex> Hold(Gate);
            bEnding = true;
            bPaused = false;
        }
        Changed.notify_all();
        Thread.join();
    }

    void Enqueue(TFunction<void()> Command)
    {
        const std::lock_guard<std::mutex> Hold(Gate);
        Waiting.push_back(std::move(Command));
        Changed.notify_all();
    }

    void Pause(bool bPause)
    {
        const std::lock_guard<std::mutex> Hold(Gate);
        bPaused = bPause;
        Changed.notify_all();
    }

    void Flush()
    {
        std::unique_lock<std::mutex> Hold(Gate);
        stub::Check(!bPaused, "FlushRenderingCommands while the render thread is held would never end");
        Changed.wait(Hold, [this] { return Waiting.empty() && !bRunning; });
    }

    int Count()
    {
        const std::lock_guard<std::mutex> Hold(Gate);
        return static_cast<int>(Waiting.size()) + (bRunning ? 1 : 0);
    }

    std::thread::id Id() const { return Thread.get_id(); }

private:
    void Run()
    {
        std::unique_lock<std::mutex> Hold(Gate);
        while (true)
        {
            Changed.wait(Hold, [this] { return bEnding || (!Waiting.empty() && !bPaused); });
            if (Waiting.empty())
            {
                return;
            }
            TFunction<void()> Command = std::move(Waiting.front());
            Waiting.pop_front();
            bRunning = true;
            Hold.unlock();
            Command();
            Command = nullptr;
            Hold.lock();
            bRunning = false;
            Changed.notify_all();
        }
    }

    std::mutex Gate;
    std::condition_variable Changed;
    std::deque<TFunction<void()>> Waiting;
    bool bPaused = false, bRunning = false, bEnding = false;
    std::thread Thread;
};

FRenderThread& RenderThread()
{
    static FRenderThread Thread;
    return Thread;
}
}

void FlushRenderingCommands()
{
    RenderThread().Flush();
}

void stub::EnqueueRenderCommand(TFunction<void()> Command)
{
    RenderThread().Enqueue(std::move(Command));
}

void stub::PauseRenderThread()
{
    RenderThread().Pause(true);
}

void stub::ResumeRenderThread()
{
    RenderThread().Pause(false);
}

int stub::RenderCommandsWaiting()
{
    return RenderThread().Count();
}

bool stub::IsInRenderThread()
{
    return std::this_thread::get_id() == RenderThread().Id();
}

void FRenderCommandFence::BeginFence(bool)
{
    Passed = std::make_shared<std::atomic<bool>>(false);
    stub::EnqueueRenderCommand([Flag = Passed] { Flag->store(true); });
}

bool FRenderCommandFence::IsFenceComplete() const
{
    return Passed == nullptr || Passed->load();
}

void FRenderCommandFence::Wait(bool) const
{
    while (!IsFenceComplete())
    {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}

// ---- textures

bool stub::bCanEverRender = true;

namespace
{
std::atomic<int> TextureResources{0};
}

FTextureResource::FTextureResource(int32 InWidth, int32 InHeight)
    : Bytes(static_cast<std::size_t>(4) * static_cast<std::size_t>(InWidth) * static_cast<std::size_t>(InHeight)), Width(InWidth), Height(InHeight)
{
}

UTexture2D* UTexture2D::CreateTransient(int32 InSizeX, int32 InSizeY, EPixelFormat InFormat)
{
    stub::Check(!stub::IsInRenderThread(), "CreateTransient on the render thread");
    if (InSizeX <= 0 || InSizeY <= 0)
    {
        return nullptr;
    }
    UTexture2D* const Made = NewObject<UTexture2D>();
    Made->SizeX = InSizeX;
    Made->SizeY = InSizeY;
    Made->Format = InFormat;
    return Made;
}

void UTexture2D::UpdateResource()
{
    ReleaseResource();
    if (stub::bCanEverRender)
    {
        Resource = new FTextureResource(SizeX, SizeY);
        ++TextureResources;
    }
}

void UTexture2D::ReleaseResource()
{
    if (Resource != nullptr)
    {
        stub::EnqueueRenderCommand([Gone = Resource] {
            delete Gone;
            --TextureResources;
        });
        Resource = nullptr;
    }
}

void UTexture2D::BeginDestroy()
{
    ReleaseResource();
    UTexture::BeginDestroy();
}

void UTexture2D::UpdateTextureRegions(int32, uint32 NumRegions, const FUpdateTextureRegion2D* Regions, uint32 SrcPitch, uint32 SrcBpp,
    uint8* SrcData, TFunction<void(uint8* SrcData, const FUpdateTextureRegion2D* Regions)> DataCleanupFunc)
{
    stub::Check(!stub::IsInRenderThread(), "UpdateTextureRegions on the render thread");
    if (Resource == nullptr)
    {
        return;
    }
    stub::Check(NeverStream, "UpdateTextureRegions on a texture that may stream");
    stub::EnqueueRenderCommand([Target = Resource, NumRegions, Regions, SrcPitch, SrcBpp, SrcData, Cleanup = std::move(DataCleanupFunc)] {
        for (uint32 Index = 0; Index < NumRegions; ++Index)
        {
            const FUpdateTextureRegion2D& Region = Regions[Index];
            stub::Check(Region.DestX + Region.Width <= static_cast<uint32>(Target->Width) &&
                    Region.DestY + Region.Height <= static_cast<uint32>(Target->Height),
                "a region beyond its texture");
            for (uint32 Row = 0; Row < Region.Height; ++Row)
            {
                const std::size_t To = SrcBpp * (static_cast<std::size_t>(Region.DestY + Row) * static_cast<uint32>(Target->Width) + Region.DestX);
                const std::size_t From = static_cast<std::size_t>(SrcPitch) * (static_cast<uint32>(Region.SrcY) + Row) +
                    static_cast<std::size_t>(SrcBpp) * static_cast<uint32>(Region.SrcX);
                std::memcpy(Target->Bytes.data() + To, SrcData + From, static_cast<std::size_t>(SrcBpp) * Region.Width);
            }
        }
        ++Target->Updates;
        Cleanup(SrcData, Regions);
    });
}

std::vector<uint8> stub::ReadBack(UTexture2D* Texture)
{
    FlushRenderingCommands();
    return Texture->GetResource()->Bytes;
}

int stub::TexturesAlive()
{
    return TextureResources.load();
}

// ---- actors

void UActorComponent::DestroyComponent(bool)
{
    if (HasBegunPlay())
    {
        EndPlay(EEndPlayReason::Destroyed);
        stub::Check(!HasBegunPlay(), "an EndPlay that does not call its Super");
    }
    if (Owner != nullptr)
    {
        Owner->RemoveComponent(this);
        Owner = nullptr;
    }
    MarkAsGarbage();
}

void AActor::AddComponent(UActorComponent* Component)
{
    Component->Owner = this;
    Components.Add(Component);
}

void AActor::RemoveComponent(UActorComponent* Component)
{
    TArray<TObjectPtr<UActorComponent>> Kept;
    for (UActorComponent* Present : Components)
    {
        std::vector<UActorComponent*>& Before = Present->StubPrerequisites;
        for (std::size_t Index = Before.size(); Index-- > 0;)
        {
            if (Before[Index] == Component)
            {
                Before.erase(Before.begin() + static_cast<std::ptrdiff_t>(Index));
            }
        }
        if (Present != Component)
        {
            Kept.Add(Present);
        }
    }
    Components = Kept;
}

void AActor::StubBeginPlay()
{
    const auto Copied = Components;
    for (UActorComponent* Component : Copied)
    {
        Component->BeginPlay();
        stub::Check(Component->HasBegunPlay(), "a BeginPlay that does not call its Super");
    }
    bSuperCalled = false;
    BeginPlay();
    stub::Check(bSuperCalled, "an actor's BeginPlay that does not call its Super");
}

void AActor::StubEndPlay(EEndPlayReason::Type Reason)
{
    bSuperCalled = false;
    EndPlay(Reason);
    stub::Check(bSuperCalled, "an actor's EndPlay that does not call its Super");
    const auto Copied = Components;
    for (UActorComponent* Component : Copied)
    {
        if (Component->HasBegunPlay())
        {
            Component->EndPlay(Reason);
            stub::Check(!Component->HasBegunPlay(), "an EndPlay that does not call its Super");
        }
    }
}

void AActor::StubTick(float DeltaSeconds)
{
    Tick(DeltaSeconds);
    const auto Copied = Components;
    for (UActorComponent* Component : Copied)
    {
        Component->bTicked = !Component->PrimaryComponentTick.bCanEverTick;
    }
    const TFunction<void(UActorComponent*)> TickInOrder = [&](UActorComponent* Component) {
        if (Component->bTicked)
        {
            return;
        }
        const auto Before = Component->StubPrerequisites;
        for (UActorComponent* Earlier : Before)
        {
            TickInOrder(Earlier);
        }
        Component->TickComponent(DeltaSeconds, LEVELTICK_All, &Component->PrimaryComponentTick);
        stub::Check(Component->bTicked, "a TickComponent that does not call its Super");
    };
    for (int Group = TG_PrePhysics; Group <= TG_PostUpdateWork; ++Group)
    {
        for (UActorComponent* Component : Copied)
        {
            if (Component->PrimaryComponentTick.TickGroup == Group)
            {
                TickInOrder(Component);
            }
        }
    }
}

void AActor::StubDestroy()
{
    StubEndPlay(EEndPlayReason::Destroyed);
    const auto Copied = Components;
    for (UActorComponent* Component : Copied)
    {
        Component->DestroyComponent();
    }
    RootComponent = nullptr;
    MarkAsGarbage();
}

// ---- the platform

void* FPlatformProcess::GetDllHandle(const TCHAR* Filename)
{
    return dlopen(stub::ToUtf8(Filename).c_str(), RTLD_NOW | RTLD_LOCAL);
}

void FPlatformProcess::FreeDllHandle(void* DllHandle)
{
    stub::Check(dlclose(DllHandle) == 0, "a library that cannot be let go of");
}

double FPlatformTime::Seconds()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

IPluginManager& IPluginManager::Get()
{
    static IPluginManager Manager;
    return Manager;
}
