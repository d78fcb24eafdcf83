#include "TalkingNpc.h"

#include "BunrakuControlComponent.h"
#include "BunrakuReceiverComponent.h"
#include "BunrakuSpeechComponent.h"
#include "Components/SceneComponent.h"
#include "Components/StaticMeshComponent.h"
#include "GameFramework/Pawn.h"
#include "Kismet/GameplayStatics.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "Materials/MaterialInterface.h"

ATalkingNpc::ATalkingNpc()
{
    PrimaryActorTick.bCanEverTick = true;

    // The root's X axis points out of her face; the plane is turned under it in the editor.
    SetRootComponent(CreateDefaultSubobject<USceneComponent>(TEXT("Face")));
    Picture = CreateDefaultSubobject<UStaticMeshComponent>(TEXT("Picture"));
    Picture->SetupAttachment(GetRootComponent());

    Receiver = CreateDefaultSubobject<UBunrakuReceiverComponent>(TEXT("Receiver"));
    Receiver->Stream = TEXT("npc");
    Control = CreateDefaultSubobject<UBunrakuControlComponent>(TEXT("Control"));
    // The player walks on a plane before her: eyes and head turn to the sides only.
    Control->MaxLookYaw = 30.0f;
    Control->MaxLookPitch = 0.0f;
    Speech = CreateDefaultSubobject<UBunrakuSpeechComponent>(TEXT("Speech"));
}

void ATalkingNpc::BeginPlay()
{
    Super::BeginPlay();
    if (PictureMaterial != nullptr)
    {
        Receiver->BindMaterial(Picture->CreateDynamicMaterialInstance(0, PictureMaterial), PictureParameter);
    }
    Speech->Say(Line);
}

void ATalkingNpc::Tick(float DeltaSeconds)
{
    Super::Tick(DeltaSeconds);
    // None until a player has spawned, and when one is gone: then she looks where she likes.
    Control->LookAtActor(UGameplayStatics::GetPlayerPawn(this, 0));
}
