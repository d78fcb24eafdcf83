#include "BunrakuReceiverComponent.h"

#include <cmath>

#include "BunrakuModule.h"
#include "Core/Client.h"
#include "Core/FrameUploads.h"
#include "Engine/Texture2D.h"
#include "HAL/PlatformTime.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "RHITypes.h"

static_assert(static_cast<int>(EBunrakuState::Lost) == BUNRAKU_LOST, "twin of bunraku_state");
static_assert(static_cast<int>(EBunrakuState::Live) == BUNRAKU_LIVE, "twin of bunraku_state");
static_assert(static_cast<int>(EBunrakuState::Stale) == BUNRAKU_STALE, "twin of bunraku_state");
static_assert(static_cast<int>(EBunrakuState::Error) == BUNRAKU_ERROR, "twin of bunraku_state");
static_assert(static_cast<int>(EBunrakuState::Incompatible) == BUNRAKU_INCOMPATIBLE, "twin of bunraku_state");

struct UBunrakuReceiverComponent::FRegionPool
{
    FUpdateTextureRegion2D OfSlot[bunraku::core::kMaxTextures];
};

namespace
{
constexpr double SecondsBetweenLooksAtState = 0.1;
constexpr uint32 BytesPerPixel = 4;

// What a producer does not offer, the native client replaces by raw, which every producer has.
uint32 EncodingBits(EBunrakuEncoding Encoding)
{
    switch (Encoding)
    {
    case EBunrakuEncoding::Raw:
        return BUNRAKU_RAW;
    case EBunrakuEncoding::Lz4:
        return BUNRAKU_LZ4;
    case EBunrakuEncoding::Jpeg:
        return BUNRAKU_JPEG;
    case EBunrakuEncoding::SharedMemory:
        return BUNRAKU_SHM;
    case EBunrakuEncoding::Automatic:
        break;
    }
    return 0;
}

EBunrakuEncoding EncodingOf(uint32 Bit)
{
    switch (Bit)
    {
    case BUNRAKU_RAW:
        return EBunrakuEncoding::Raw;
    case BUNRAKU_LZ4:
        return EBunrakuEncoding::Lz4;
    case BUNRAKU_JPEG:
        return EBunrakuEncoding::Jpeg;
    case BUNRAKU_SHM:
        return EBunrakuEncoding::SharedMemory;
    default:
        return EBunrakuEncoding::Automatic;
    }
}

EPixelFormat TextureFormat(EBunrakuPixelFormat Format)
{
    return Format == EBunrakuPixelFormat::Rgba8 ? PF_R8G8B8A8 : PF_B8G8R8A8;
}

float KnownOrNegative(double Milliseconds)
{
    return std::isnan(Milliseconds) ? -1.0f : static_cast<float>(Milliseconds);
}
}

UBunrakuReceiverComponent::UBunrakuReceiverComponent()
{
    PrimaryComponentTick.bCanEverTick = true;
    PrimaryComponentTick.bTickEvenWhenPaused = true;
    // As late as a tick can be: the picture is then as new as it can be.
    PrimaryComponentTick.TickGroup = TG_PostUpdateWork;
}

bool UBunrakuReceiverComponent::Open()
{
    Close();
    if (!FBunrakuModule::IsNativeClientLoaded())
    {
        OpenError = TEXT("The native client is not loaded; the log of LogBunraku says why.");
        UE_LOG(LogBunraku, Error, TEXT("%s: %s"), *GetPathName(), *OpenError);
        return false;
    }

    bunraku::core::ClientOptions Options;
    Options.endpoint = TCHAR_TO_UTF8(*Endpoint);
    Options.control_endpoint = TCHAR_TO_UTF8(*ControlEndpoint);
    Options.stream = TCHAR_TO_UTF8(*Stream);
    Options.client_name = "Unreal";
    Options.key_file = TCHAR_TO_UTF8(*KeyFile);
    Options.encodings = EncodingBits(Encoding);
    Options.pixel_format = PixelFormat == EBunrakuPixelFormat::Rgba8 ? BUNRAKU_RGBA8 : BUNRAKU_BGRA8;
    Options.wanted_fps = WantedFps;

    std::string Why;
    Client = bunraku::core::Client::open(Options, Why);
    if (!Client)
    {
        OpenError = UTF8_TO_TCHAR(Why.c_str());
        UE_LOG(LogBunraku, Error, TEXT("%s cannot receive: %s"), *GetPathName(), *OpenError);
        return false;
    }
    OpenError.Empty();
    Uploads = std::make_shared<bunraku::core::FrameUploads>(Client, static_cast<unsigned>(FMath::Max(TextureCount, 1)));
    // A pool of its own for every opening: updates of the one before may still be reading theirs.
    Regions = std::make_shared<FRegionPool>();
    Textures.SetNum(static_cast<int32>(Uploads->textures()));
    NextLookAtState = 0.0;
    return true;
}

void UBunrakuReceiverComponent::Close()
{
    if (Client)
    {
        Release();
        EnterState(EBunrakuState::Lost);
    }
}

void UBunrakuReceiverComponent::Release()
{
    Uploads.reset();
    Client.reset();
    Regions.reset();
}

bool UBunrakuReceiverComponent::IsOpen() const
{
    return Client != nullptr;
}

void UBunrakuReceiverComponent::BeginPlay()
{
    Super::BeginPlay();
    if (bOpenOnBeginPlay && !IsOpen())
    {
        Open();
    }
}

void UBunrakuReceiverComponent::EndPlay(const EEndPlayReason::Type EndPlayReason)
{
    Close();
    Super::EndPlay(EndPlayReason);
}

void UBunrakuReceiverComponent::BeginDestroy()
{
    Release();
    UpdatesDone.BeginFence();
    Super::BeginDestroy();
}

bool UBunrakuReceiverComponent::IsReadyForFinishDestroy()
{
    return Super::IsReadyForFinishDestroy() && UpdatesDone.IsFenceComplete();
}

void UBunrakuReceiverComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
    Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
    // Whoever listens to an event may close the receiver, so each step looks for itself.
    TakeNewestFrame();
    WatchState();
}

void UBunrakuReceiverComponent::TakeNewestFrame()
{
    const std::shared_ptr<bunraku::core::Upload> Upload = Uploads ? Uploads->next() : nullptr;
    if (!Upload)
    {
        return;
    }
    const bunraku_frame& Frame = Upload->frame();
    const int32 NewWidth = static_cast<int32>(Frame.width);
    const int32 NewHeight = static_cast<int32>(Frame.height);
    UTexture2D* const Target = TextureOfSlot(static_cast<int32>(Upload->slot()), NewWidth, NewHeight);
    if (Target == nullptr || Target->GetResource() == nullptr)
    {
        return;  // nothing is rendered here, as on a dedicated server
    }

    FrameId = static_cast<int64>(Frame.frame_id);
    FrameAgeMs = static_cast<float>(Frame.age_ns) / 1e6f;
    FUpdateTextureRegion2D& Region = Regions->OfSlot[Upload->slot()];
    Region = FUpdateTextureRegion2D(0, 0, 0, 0, Frame.width, Frame.height);
    // Unreal asks for a pointer to writable bytes and only reads them.
    uint8* const Pixels = const_cast<uint8*>(Frame.pixels);
    Target->UpdateTextureRegions(0, 1, &Region, Frame.stride, BytesPerPixel, Pixels,
        [Upload, Pool = Regions](uint8*, const FUpdateTextureRegion2D*) { Upload->finish(); });

    const bool bSizeChanged = NewWidth != Width || NewHeight != Height;
    Width = NewWidth;
    Height = NewHeight;
    if (State != EBunrakuState::Live)
    {
        NextLookAtState = 0.0;
    }
    Show(Target);
    if (bSizeChanged)
    {
        OnSizeChanged.Broadcast(NewWidth, NewHeight);
    }
}

UTexture2D* UBunrakuReceiverComponent::TextureOfSlot(int32 Slot, int32 NewWidth, int32 NewHeight)
{
    const EPixelFormat Format = TextureFormat(PixelFormat);
    UTexture2D* const Present = Textures[Slot];
    if (Present != nullptr && Present->GetSizeX() == NewWidth && Present->GetSizeY() == NewHeight && Present->GetPixelFormat() == Format)
    {
        return Present;
    }
    UTexture2D* const Made = UTexture2D::CreateTransient(NewWidth, NewHeight, Format);
    if (Made != nullptr)
    {
        Made->SRGB = true;
        Made->NeverStream = true;
        Made->AddressX = TA_Clamp;
        Made->AddressY = TA_Clamp;
        Made->UpdateResource();
    }
    Textures[Slot] = Made;
    return Made;
}

void UBunrakuReceiverComponent::Show(UTexture2D* NewTexture)
{
    if (Texture == NewTexture)
    {
        return;
    }
    Texture = NewTexture;
    for (const auto& Bound : Materials)
    {
        if (Bound.Key != nullptr)
        {
            Bound.Key->SetTextureParameterValue(Bound.Value, NewTexture);
        }
    }
    OnTextureChanged.Broadcast(NewTexture);
}

void UBunrakuReceiverComponent::WatchState()
{
    const double Now = FPlatformTime::Seconds();
    if (Client && Now >= NextLookAtState)
    {
        NextLookAtState = Now + SecondsBetweenLooksAtState;
        EnterState(static_cast<EBunrakuState>(Client->status().state));
    }
}

void UBunrakuReceiverComponent::EnterState(EBunrakuState NewState)
{
    if (State != NewState)
    {
        State = NewState;
        OnStateChanged.Broadcast(NewState);
    }
}

FBunrakuStatistics UBunrakuReceiverComponent::GetStatistics() const
{
    FBunrakuStatistics Statistics;
    if (!Client)
    {
        return Statistics;
    }
    const bunraku_status Status = Client->status();
    Statistics.ArrivalAgeMs = KnownOrNegative(Status.age_arrival_ms_p50);
    Statistics.TakenAgeMs = KnownOrNegative(Status.age_take_ms_p50);
    Statistics.MotionToPhotonMs = KnownOrNegative(Status.motion_to_photon_ms_p50);
    Statistics.ProducerFps = static_cast<float>(Status.producer_fps);
    Statistics.Received = static_cast<int64>(Status.received);
    Statistics.Shown = static_cast<int64>(Status.shown);
    Statistics.Skipped = static_cast<int64>(Status.skipped);
    Statistics.Deferred = static_cast<int64>(Uploads->deferred());
    Statistics.Missed = static_cast<int64>(Status.missed);
    Statistics.Bad = static_cast<int64>(Status.bad);
    Statistics.Refused = static_cast<int64>(Status.control_refused);
    Statistics.Stream = UTF8_TO_TCHAR(Status.stream);
    Statistics.Provider = UTF8_TO_TCHAR(Status.provider);
    Statistics.Encoding = EncodingOf(Status.encoding);
    Statistics.bMadeByAI = Status.made_by_ai != 0;
    Statistics.Source = UTF8_TO_TCHAR(Status.source);
    Statistics.LastError = UTF8_TO_TCHAR(Status.last_error);
    return Statistics;
}

void UBunrakuReceiverComponent::BindMaterial(UMaterialInstanceDynamic* Material, FName Parameter)
{
    if (Material == nullptr)
    {
        return;
    }
    Materials.Add(Material, Parameter);
    if (Texture != nullptr)
    {
        Material->SetTextureParameterValue(Parameter, Texture);
    }
}

void UBunrakuReceiverComponent::UnbindMaterial(UMaterialInstanceDynamic* Material)
{
    Materials.Remove(Material);
}

void UBunrakuReceiverComponent::RequestLastFrame()
{
    if (Client)
    {
        Client->request_last();
    }
}
