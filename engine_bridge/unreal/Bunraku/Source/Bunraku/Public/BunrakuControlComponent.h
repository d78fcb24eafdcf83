#pragma once

#include <memory>

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"
#include "BunrakuTypes.h"
#include "BunrakuControlComponent.generated.h"

class AActor;
class UBunrakuReceiverComponent;
class USceneComponent;

namespace bunraku
{
class Wanted;
}
namespace bunraku::core
{
class Client;
}

/**
 * Moves the character that a receiver of the same actor shows.
 *
 * What is set is held until it is set again or released; what was never set stays with the character's own life. All
 * changes of a tick leave together, once. Values beyond a control's range are clamped by the producer; an unknown name
 * makes it refuse the whole state, which the receiver's statistics tell. All functions belong to the game thread.
 */
UCLASS(ClassGroup = (Bunraku), meta = (BlueprintSpawnableComponent))
class BUNRAKU_API UBunrakuControlComponent : public UActorComponent
{
    GENERATED_BODY()

public:
    UBunrakuControlComponent();

    /** Whose character to move. None: the first receiver of the same actor. */
    UPROPERTY(BlueprintReadWrite, Category = "Bunraku")
    TObjectPtr<UBunrakuReceiverComponent> Receiver;

    /** Where the character's eyes are, X pointing out of its face. None: the actor's root. */
    UPROPERTY(BlueprintReadWrite, Category = "Bunraku")
    TObjectPtr<USceneComponent> Eyes;

    /** How far the eyes follow to the sides, in degrees. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku|Look", meta = (ClampMin = "0", ClampMax = "90"))
    float MaxLookYaw = 30.0f;

    /** How far the eyes follow up and down, in degrees; 0 leaves pitch to the character. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku|Look", meta = (ClampMin = "0", ClampMax = "90"))
    float MaxLookPitch = 20.0f;

    /** How much of the eyes' turn the head makes. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Bunraku|Look", meta = (ClampMin = "0", ClampMax = "1"))
    float HeadShare = 0.33333334f;

    /** Hold a control: degrees for poses and gaze, otherwise 0 to 1. False if the value is not finite, the name is empty or longer than 63 bytes, or 256 are held. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool SetControl(const FString& Name, float Value);

    /** Let go of a control: it goes back to the character's own life. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void ReleaseControl(const FString& Name);

    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void ReleaseAllControls();

    /** Turn the head as a rotator says that is relative to the character (X out of its face). False if it is not finite. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku|Look")
    bool SetHeadRotation(const FRotator& Rotation);

    /** Keep looking at an actor's location; none stops looking, as does its end. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku|Look")
    void LookAtActor(AActor* Target);

    /** Keep looking at a place in the world. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku|Look")
    void LookAtLocation(const FVector& Location);

    /** Give gaze and head back to the character. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku|Look")
    void StopLooking();

    /** Where a place lies as the character sees it: X is yaw to its own left, Y is pitch up, in degrees. */
    UFUNCTION(BlueprintPure, Category = "Bunraku|Look")
    FVector2D GetDirectionTo(const FVector& Location) const;

    /** Fade to a named expression; the empty name fades to none. False if the name is longer than 320 bytes. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool SetExpression(const FString& Name);

    /** Say nothing about the expression from now on. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void LeaveExpression();

    /** Become a named identity of the character. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool SetIdentity(const FString& Name);

    /** Become the person of a seed, 0 or more, where the character has a mapping network. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool SetSeed(int64 Seed);

    /** Mix in a second identity: 0 is all the first, 1 is all this one. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool Mix(const FString& Name, float Amount);

    /** Mix in the person of a seed. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool MixSeed(int64 Seed, float Amount);

    /** Mix in nobody. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void Unmix();

    /** 0 to 1; less draws more ordinary people from seeds. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    bool SetTruncation(float Psi);

    /** Take the present pose of a tracker as the neutral one. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void Calibrate();

    /** What the character takes; empty until the producer has told. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    TArray<FBunrakuControl> GetControls() const;

    UFUNCTION(BlueprintPure, Category = "Bunraku")
    TArray<FString> GetIdentities() const;

    UFUNCTION(BlueprintPure, Category = "Bunraku")
    TArray<FString> GetExpressions() const;

    virtual void BeginPlay() override;
    virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
    virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
    std::shared_ptr<bunraku::core::Client> FindClient() const;
    void FollowTarget();
    void ReleaseLook();
    void Send();
    bool Accepted(int32 Result, const TCHAR* What, const FString& Name) const;

    /** Never null. Behind a pointer to keep the core out of this header; shared, since a unique one needs the whole type here. */
    std::shared_ptr<bunraku::Wanted> Wanted;

    TWeakObjectPtr<AActor> LookTarget;
    TOptional<FVector> LookLocation;
    bool bHoldsLook = false;
};
