#pragma once

#include <memory>

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"
#include "RenderCommandFence.h"
#include "BunrakuTypes.h"
#include "BunrakuReceiverComponent.generated.h"

class UMaterialInstanceDynamic;
class UTexture2D;

namespace bunraku::core
{
class Client;
class FrameUploads;
}

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FBunrakuStateChanged, EBunrakuState, NewState);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FBunrakuSizeChanged, int32, Width, int32, Height);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FBunrakuTextureChanged, UTexture2D*, NewTexture);

/**
 * Shows a live character: takes the newest picture on every tick and puts it into a texture.
 *
 * Pictures are sRGB-encoded, row 0 on top, with straight alpha. The settings count when the stream is opened; call
 * Close and Open after changing them. All functions belong to the game thread.
 */
UCLASS(ClassGroup = (Bunraku), meta = (BlueprintSpawnableComponent))
class BUNRAKU_API UBunrakuReceiverComponent : public UActorComponent
{
    GENERATED_BODY()

public:
    UBunrakuReceiverComponent();

    /** Where the pictures are published, for example tcp://127.0.0.1:5760. Empty: found by the stream's name on this host. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku")
    FString Endpoint = TEXT("tcp://127.0.0.1:5760");

    /** Where controls are taken. Empty: the producer tells. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, AdvancedDisplay, Category = "Bunraku")
    FString ControlEndpoint;

    /** Name of the stream. Empty: the first one heard. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku")
    FString Stream;

    /** How pictures may travel. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku")
    EBunrakuEncoding Encoding = EBunrakuEncoding::Automatic;

    /** A client's key file, written by "bunraku keys add", for a producer on another host. Empty: no encryption. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku")
    FString KeyFile;

    /** Order of the bytes in the textures. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, AdvancedDisplay, Category = "Bunraku")
    EBunrakuPixelFormat PixelFormat = EBunrakuPixelFormat::Bgra8;

    /**
     * With 2 or 3, a picture never goes into the texture that was shown last, so the graphics card need not wait.
     * With 1 the texture is always the same object; a picture is skipped while the one before it is still uploaded.
     */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, AdvancedDisplay, Category = "Bunraku", meta = (ClampMin = "1", ClampMax = "3"))
    int32 TextureCount = 2;

    /** The producer may draw fewer pictures per second if no client wants more; 0: as it likes. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, AdvancedDisplay, Category = "Bunraku", meta = (ClampMin = "0"))
    float WantedFps = 0.0f;

    /** Open when play begins. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku")
    bool bOpenOnBeginPlay = true;

    /** Another state was entered. */
    UPROPERTY(BlueprintAssignable, Category = "Bunraku")
    FBunrakuStateChanged OnStateChanged;

    /** The first picture came, or one of another size. */
    UPROPERTY(BlueprintAssignable, Category = "Bunraku")
    FBunrakuSizeChanged OnSizeChanged;

    /** Another texture object holds the newest picture; with a TextureCount of 2 or 3 this is so for every picture. */
    UPROPERTY(BlueprintAssignable, Category = "Bunraku")
    FBunrakuTextureChanged OnTextureChanged;

    /** Start receiving. True at once, whether or not there is a producer; false if a setting is wrong, see GetOpenError. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool Open();

    /** Stop receiving; the last picture stays. Updates under way keep what they need and free it when they are done. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void Close();

    UFUNCTION(BlueprintPure, Category = "Bunraku")
    bool IsOpen() const;

    /** Why Open answered false; empty after it answered true. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    FString GetOpenError() const { return OpenError; }

    /** The texture with the newest picture; none before the first one. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    UTexture2D* GetTexture() const { return Texture; }

    UFUNCTION(BlueprintPure, Category = "Bunraku")
    EBunrakuState GetState() const { return State; }

    /** Width of the newest picture in pixels, 0 before the first one. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    int32 GetWidth() const { return Width; }

    /** Height of the newest picture in pixels, 0 before the first one. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    int32 GetHeight() const { return Height; }

    /** Number of the newest picture, rising within a session of the producer; 0 before the first one. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    int64 GetFrameId() const { return FrameId; }

    /** Milliseconds from publishing the newest picture to the tick that took it; below 0 before the first one. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    float GetFrameAgeMs() const { return FrameAgeMs; }

    UFUNCTION(BlueprintPure, Category = "Bunraku")
    FBunrakuStatistics GetStatistics() const;

    /** Keep a texture parameter of a material at the newest picture. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void BindMaterial(UMaterialInstanceDynamic* Material, FName Parameter);

    /** Stop keeping it; the parameter stays at the picture that it shows. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void UnbindMaterial(UMaterialInstanceDynamic* Material);

    /** Ask for the last picture to be sent again. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void RequestLastFrame();

    /** The open client, for UBunrakuControlComponent; null while closed. */
    std::shared_ptr<bunraku::core::Client> GetClient() const { return Client; }

    virtual void BeginPlay() override;
    virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
    virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;
    virtual void BeginDestroy() override;
    virtual bool IsReadyForFinishDestroy() override;

private:
    void Release();
    void TakeNewestFrame();
    UTexture2D* TextureOfSlot(int32 Slot, int32 NewWidth, int32 NewHeight);
    void Show(UTexture2D* NewTexture);
    void EnterState(EBunrakuState NewState);
    void WatchState();

    /** One per slot, recreated only when the size changes. */
    UPROPERTY(Transient)
    TArray<TObjectPtr<UTexture2D>> Textures;

    UPROPERTY(Transient)
    TObjectPtr<UTexture2D> Texture;

    UPROPERTY(Transient)
    TMap<TObjectPtr<UMaterialInstanceDynamic>, FName> Materials;

    /** A slot's region is read by the render thread; each update under way holds on to the pool. */
    struct FRegionPool;
    std::shared_ptr<FRegionPool> Regions;

    std::shared_ptr<bunraku::core::Client> Client;
    std::shared_ptr<bunraku::core::FrameUploads> Uploads;

    FRenderCommandFence UpdatesDone;
    FString OpenError;
    EBunrakuState State = EBunrakuState::Lost;
    int32 Width = 0;
    int32 Height = 0;
    int64 FrameId = 0;
    float FrameAgeMs = -1.0f;
    double NextLookAtState = 0.0;
};
