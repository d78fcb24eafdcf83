#pragma once

#include "CoreMinimal.h"
#include "GameFramework/Actor.h"
#include "TalkingNpc.generated.h"

class UBunrakuControlComponent;
class UBunrakuReceiverComponent;
class UBunrakuSpeechComponent;
class UMaterialInterface;
class UStaticMeshComponent;

/** A character on a plane that says a line when play begins, and follows the player with eyes and head. */
UCLASS()
class MYGAME_API ATalkingNpc : public AActor
{
    GENERATED_BODY()

public:
    ATalkingNpc();

    /** Shown on the plane; its texture parameter is PictureParameter. How to make it: docs/unreal.md. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Talking NPC")
    TObjectPtr<UMaterialInterface> PictureMaterial;

    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Talking NPC")
    FName PictureParameter = TEXT("Picture");

    /** What she says; marks in brackets change her mood. */
    UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Talking NPC")
    FString Line = TEXT("[happy] Hello, traveller! [relaxed] The road to the old mill is quiet today. [surprised] Oh! Is that a map?");

    UPROPERTY(VisibleAnywhere, BlueprintReadOnly, Category = "Talking NPC")
    TObjectPtr<UStaticMeshComponent> Picture;

    UPROPERTY(VisibleAnywhere, BlueprintReadOnly, Category = "Talking NPC")
    TObjectPtr<UBunrakuReceiverComponent> Receiver;

    UPROPERTY(VisibleAnywhere, BlueprintReadOnly, Category = "Talking NPC")
    TObjectPtr<UBunrakuControlComponent> Control;

    UPROPERTY(VisibleAnywhere, BlueprintReadOnly, Category = "Talking NPC")
    TObjectPtr<UBunrakuSpeechComponent> Speech;

    virtual void BeginPlay() override;
    virtual void Tick(float DeltaSeconds) override;
};
