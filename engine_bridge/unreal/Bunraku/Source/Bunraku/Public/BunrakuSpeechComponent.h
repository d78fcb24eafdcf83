#pragma once

#include <memory>

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"
#include "BunrakuSpeechComponent.generated.h"

class UBunrakuControlComponent;

namespace bunraku
{
class Speech;
}

DECLARE_DYNAMIC_MULTICAST_DELEGATE(FBunrakuSpeechFinished);

/**
 * Moves the mouth of the actor's character by the letters of a line, and its expression by marks such as [happy] in it.
 * There is no sound. The rules are in examples/20_talking_npc/README.md.
 */
UCLASS(ClassGroup = (Bunraku), meta = (BlueprintSpawnableComponent))
class BUNRAKU_API UBunrakuSpeechComponent : public UActorComponent
{
    GENERATED_BODY()

public:
    UBunrakuSpeechComponent();

    /** Through whom to move the character. None: the first control component of the same actor. */
    UPROPERTY(BlueprintReadWrite, Category = "Bunraku")
    TObjectPtr<UBunrakuControlComponent> Control;

    /** The line is over. Not called for a line that another one interrupted. */
    UPROPERTY(BlueprintAssignable, Category = "Bunraku")
    FBunrakuSpeechFinished OnFinished;

    /** Say a line, in place of one that is being said. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void Say(const FString& Text);

    /** Stop at once and let go of the mouth; an expression of the line fades. */
    UFUNCTION(BlueprintCallable, Category = "Bunraku")
    void StopSpeaking();

    UFUNCTION(BlueprintPure, Category = "Bunraku")
    bool IsSpeaking() const { return bSpeaking; }

    /** How long the line said last takes, in seconds. */
    UFUNCTION(BlueprintPure, Category = "Bunraku")
    float GetDuration() const;

    virtual void BeginPlay() override;
    virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
    virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
    void LetGo();

    /** Never null; shared for the same reason as in UBunrakuControlComponent. */
    std::shared_ptr<bunraku::Speech> Speech;

    double SecondsSpoken = 0.0;
    bool bSpeaking = false;
};
