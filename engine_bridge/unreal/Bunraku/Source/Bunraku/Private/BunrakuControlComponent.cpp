#include "BunrakuControlComponent.h"

#include "BunrakuModule.h"
#include "BunrakuReceiverComponent.h"
#include "Components/SceneComponent.h"
#include "Core/Client.h"
#include "Core/Directions.h"
#include "GameFramework/Actor.h"
#include "bunraku/wanted.hpp"

namespace
{
constexpr const char* LookControls[] = {"gazeYaw", "headYaw", "gazePitch", "headPitch"};
}

UBunrakuControlComponent::UBunrakuControlComponent() : Wanted(std::make_shared<bunraku::Wanted>())
{
    PrimaryComponentTick.bCanEverTick = true;
    PrimaryComponentTick.bTickEvenWhenPaused = true;
    // After the game's own ticks, so that all they set in this one leaves in this one.
    PrimaryComponentTick.TickGroup = TG_PostUpdateWork;
}

void UBunrakuControlComponent::BeginPlay()
{
    Super::BeginPlay();
    if (Receiver == nullptr && GetOwner() != nullptr)
    {
        Receiver = GetOwner()->FindComponentByClass<UBunrakuReceiverComponent>();
    }
    if (Receiver == nullptr)
    {
        UE_LOG(LogBunraku, Warning, TEXT("%s has no receiver; give its actor one, or set Receiver."), *GetPathName());
    }
    else
    {
        // Both tick as late as they can; pictures may wait for controls, not the other way round.
        Receiver->AddTickPrerequisiteComponent(this);
    }
}

void UBunrakuControlComponent::EndPlay(const EEndPlayReason::Type EndPlayReason)
{
    StopLooking();
    Wanted->release_all();
    Wanted->leave_expression();
    Send();
    Super::EndPlay(EndPlayReason);
}

void UBunrakuControlComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
    Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
    FollowTarget();
    Send();
}

std::shared_ptr<bunraku::core::Client> UBunrakuControlComponent::FindClient() const
{
    return Receiver != nullptr ? Receiver->GetClient() : nullptr;
}

void UBunrakuControlComponent::Send()
{
    const std::shared_ptr<bunraku::core::Client> Client = FindClient();
    if (!Client)
    {
        return;
    }
    const int32 Result = Client->send(*Wanted);
    if (Result < 0)
    {
        UE_LOG(LogBunraku, Warning, TEXT("%s: controls were not sent: %s"), *GetPathName(), UTF8_TO_TCHAR(bunraku_result_text(Result)));
    }
}

bool UBunrakuControlComponent::Accepted(int32 Result, const TCHAR* What, const FString& Name) const
{
    if (Result < 0)
    {
        UE_LOG(LogBunraku, Warning, TEXT("%s: %s of \"%s\" was not taken: a name has 1 to 63 bytes (of an identity or expression 320), a number is finite, an amount 0 to 1, a seed 0 or more, and 256 controls are held at most."),
            *GetPathName(), What, *Name);
    }
    return Result >= 0;
}

bool UBunrakuControlComponent::SetControl(const FString& Name, float Value)
{
    return Accepted(Wanted->hold(TCHAR_TO_UTF8(*Name), Value), TEXT("SetControl"), Name);
}

void UBunrakuControlComponent::ReleaseControl(const FString& Name)
{
    Wanted->release(TCHAR_TO_UTF8(*Name));
}

void UBunrakuControlComponent::ReleaseAllControls()
{
    Wanted->release_all();
}

bool UBunrakuControlComponent::SetHeadRotation(const FRotator& Rotation)
{
    if (Rotation.ContainsNaN())
    {
        return Accepted(BUNRAKU_NOT_FINITE, TEXT("SetHeadRotation"), FString());
    }
    const bunraku::core::HeadPose Pose = bunraku::core::head_pose(Rotation.Pitch, Rotation.Yaw, Rotation.Roll);
    return Wanted->hold("headYaw", static_cast<float>(Pose.yaw_deg)) >= 0 &&
        Wanted->hold("headPitch", static_cast<float>(Pose.pitch_deg)) >= 0 &&
        Wanted->hold("headRoll", static_cast<float>(Pose.roll_deg)) >= 0;
}

void UBunrakuControlComponent::LookAtActor(AActor* Target)
{
    LookLocation.Reset();
    LookTarget = Target;
    if (Target == nullptr)
    {
        StopLooking();
    }
}

void UBunrakuControlComponent::LookAtLocation(const FVector& Location)
{
    LookTarget.Reset();
    LookLocation = Location;
}

void UBunrakuControlComponent::StopLooking()
{
    LookTarget.Reset();
    LookLocation.Reset();
    ReleaseLook();
}

void UBunrakuControlComponent::ReleaseLook()
{
    if (bHoldsLook)
    {
        bHoldsLook = false;
        for (const char* Name : LookControls)
        {
            Wanted->release(Name);
        }
    }
}

FVector2D UBunrakuControlComponent::GetDirectionTo(const FVector& Location) const
{
    const USceneComponent* Origin = Eyes;
    if (Origin == nullptr && GetOwner() != nullptr)
    {
        Origin = GetOwner()->GetRootComponent();
    }
    if (Origin == nullptr)
    {
        return FVector2D(0.0, 0.0);
    }
    // Without its scale: a squeezed character still sees straight.
    const FVector Local = Origin->GetComponentTransform().InverseTransformPositionNoScale(Location);
    const bunraku::core::Direction Direction = bunraku::core::direction_to(Local.X, Local.Y, Local.Z);
    return FVector2D(Direction.yaw_deg, Direction.pitch_deg);
}

void UBunrakuControlComponent::FollowTarget()
{
    const AActor* Target = LookTarget.Get();
    if (Target == nullptr && !LookLocation.IsSet())
    {
        ReleaseLook();
        return;
    }
    const FVector2D To = GetDirectionTo(Target != nullptr ? Target->GetActorLocation() : LookLocation.GetValue());
    const bunraku::core::Look Look = bunraku::core::look_along({To.X, To.Y}, MaxLookYaw, MaxLookPitch, HeadShare);
    bHoldsLook = true;
    Wanted->hold("gazeYaw", static_cast<float>(Look.gaze_yaw_deg));
    Wanted->hold("headYaw", static_cast<float>(Look.head_yaw_deg));
    if (MaxLookPitch > 0.0f)
    {
        Wanted->hold("gazePitch", static_cast<float>(Look.gaze_pitch_deg));
        Wanted->hold("headPitch", static_cast<float>(Look.head_pitch_deg));
    }
}

bool UBunrakuControlComponent::SetExpression(const FString& Name)
{
    return Accepted(Wanted->express(TCHAR_TO_UTF8(*Name)), TEXT("SetExpression"), Name);
}

void UBunrakuControlComponent::LeaveExpression()
{
    Wanted->leave_expression();
}

bool UBunrakuControlComponent::SetIdentity(const FString& Name)
{
    return Accepted(Wanted->become(TCHAR_TO_UTF8(*Name)), TEXT("SetIdentity"), Name);
}

bool UBunrakuControlComponent::SetSeed(int64 Seed)
{
    return Accepted(Wanted->become_seed(Seed), TEXT("SetSeed"), FString());
}

bool UBunrakuControlComponent::Mix(const FString& Name, float Amount)
{
    return Accepted(Wanted->mix(TCHAR_TO_UTF8(*Name), Amount), TEXT("Mix"), Name);
}

bool UBunrakuControlComponent::MixSeed(int64 Seed, float Amount)
{
    return Accepted(Wanted->mix_seed(Seed, Amount), TEXT("MixSeed"), FString());
}

void UBunrakuControlComponent::Unmix()
{
    Wanted->end_mix();
}

bool UBunrakuControlComponent::SetTruncation(float Psi)
{
    return Accepted(Wanted->truncate(Psi), TEXT("SetTruncation"), FString());
}

void UBunrakuControlComponent::Calibrate()
{
    Wanted->calibrate();
}

TArray<FBunrakuControl> UBunrakuControlComponent::GetControls() const
{
    TArray<FBunrakuControl> Controls;
    bunraku_info Info;
    const std::shared_ptr<bunraku::core::Client> Client = FindClient();
    if (Client && Client->info(Info))
    {
        for (uint32 Index = 0; Index < Info.control_count; ++Index)
        {
            const bunraku_control_spec Spec = Client->control(Index);
            FBunrakuControl& Control = Controls.AddDefaulted_GetRef();
            Control.Name = UTF8_TO_TCHAR(Spec.name);
            Control.Group = UTF8_TO_TCHAR(Spec.group);
            Control.Minimum = Spec.minimum;
            Control.Maximum = Spec.maximum;
            Control.Rest = Spec.rest;
        }
    }
    return Controls;
}

TArray<FString> UBunrakuControlComponent::GetIdentities() const
{
    TArray<FString> Names;
    bunraku_info Info;
    const std::shared_ptr<bunraku::core::Client> Client = FindClient();
    if (Client && Client->info(Info))
    {
        for (uint32 Index = 0; Index < Info.identity_count; ++Index)
        {
            Names.Add(UTF8_TO_TCHAR(Client->identity(Index).c_str()));
        }
    }
    return Names;
}

TArray<FString> UBunrakuControlComponent::GetExpressions() const
{
    TArray<FString> Names;
    bunraku_info Info;
    const std::shared_ptr<bunraku::core::Client> Client = FindClient();
    if (Client && Client->info(Info))
    {
        for (uint32 Index = 0; Index < Info.expression_count; ++Index)
        {
            Names.Add(UTF8_TO_TCHAR(Client->expression(Index).c_str()));
        }
    }
    return Names;
}
