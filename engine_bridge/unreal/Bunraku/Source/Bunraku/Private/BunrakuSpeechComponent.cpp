#include "BunrakuSpeechComponent.h"

#include "BunrakuControlComponent.h"
#include "BunrakuModule.h"
#include "GameFramework/Actor.h"
#include "bunraku/speech.hpp"

namespace
{
const TCHAR* const Visemes[] = {TEXT("aa"), TEXT("ih"), TEXT("ou"), TEXT("ee"), TEXT("oh")};
}

UBunrakuSpeechComponent::UBunrakuSpeechComponent() : Speech(std::make_shared<bunraku::Speech>())
{
    PrimaryComponentTick.bCanEverTick = true;
    PrimaryComponentTick.TickGroup = TG_PostUpdateWork;
}

void UBunrakuSpeechComponent::BeginPlay()
{
    Super::BeginPlay();
    if (Control == nullptr && GetOwner() != nullptr)
    {
        Control = GetOwner()->FindComponentByClass<UBunrakuControlComponent>();
    }
    if (Control == nullptr)
    {
        UE_LOG(LogBunraku, Warning, TEXT("%s has no control component; give its actor one, or set Control."), *GetPathName());
    }
    else
    {
        Control->AddTickPrerequisiteComponent(this);
    }
}

void UBunrakuSpeechComponent::EndPlay(const EEndPlayReason::Type EndPlayReason)
{
    StopSpeaking();
    Super::EndPlay(EndPlayReason);
}

void UBunrakuSpeechComponent::Say(const FString& Text)
{
    Speech->say(TCHAR_TO_UTF8(*Text));
    SecondsSpoken = 0.0;
    bSpeaking = true;
}

void UBunrakuSpeechComponent::StopSpeaking()
{
    if (bSpeaking)
    {
        bSpeaking = false;
        LetGo();
    }
}

void UBunrakuSpeechComponent::LetGo()
{
    if (Control != nullptr)
    {
        for (const TCHAR* Viseme : Visemes)
        {
            Control->ReleaseControl(Viseme);
        }
        Control->SetExpression(FString());
    }
}

float UBunrakuSpeechComponent::GetDuration() const
{
    return static_cast<float>(Speech->duration_s());
}

void UBunrakuSpeechComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
    Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
    if (!bSpeaking)
    {
        return;
    }
    SecondsSpoken += DeltaTime;
    const bunraku::SpeechPose Pose = Speech->at(SecondsSpoken);
    if (Pose.done)
    {
        bSpeaking = false;
        LetGo();
        OnFinished.Broadcast();
        return;
    }
    if (Control != nullptr)
    {
        Control->SetControl(TEXT("aa"), Pose.aa);
        Control->SetControl(TEXT("ih"), Pose.ih);
        Control->SetControl(TEXT("ou"), Pose.ou);
        Control->SetControl(TEXT("ee"), Pose.ee);
        Control->SetControl(TEXT("oh"), Pose.oh);
        if (!Pose.left_alone)
        {
            Control->SetExpression(UTF8_TO_TCHAR(Pose.expression));
        }
    }
}
