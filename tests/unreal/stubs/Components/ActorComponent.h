#pragma once

#include "CoreMinimal.h"

class AActor;

namespace EEndPlayReason
{
enum Type { Destroyed, LevelTransition, EndPlayInEditor, RemovedFromWorld, Quit };
}

enum ELevelTick { LEVELTICK_TimeOnly, LEVELTICK_ViewportsOnly, LEVELTICK_All, LEVELTICK_PauseTick };
enum ETickingGroup { TG_PrePhysics, TG_DuringPhysics, TG_PostPhysics, TG_PostUpdateWork };

struct FTickFunction
{
    bool bCanEverTick = false;
    bool bTickEvenWhenPaused = false;
    ETickingGroup TickGroup = TG_PrePhysics;
};

struct FActorComponentTickFunction : FTickFunction
{
};

class UActorComponent : public UObject
{
public:
    FActorComponentTickFunction PrimaryComponentTick;

    AActor* GetOwner() const { return Owner; }
    void AddTickPrerequisiteComponent(UActorComponent* Component) { StubPrerequisites.push_back(Component); }
    bool HasBegunPlay() const { return bHasBegunPlay; }

    virtual void BeginPlay() { bHasBegunPlay = true; }
    virtual void EndPlay(const EEndPlayReason::Type) { bHasBegunPlay = false; }
    virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction*) { bTicked = true; }
    virtual void DestroyComponent(bool bPromoteChildren = false);

    AActor* Owner = nullptr;
    std::vector<UActorComponent*> StubPrerequisites;
    bool bTicked = false;

private:
    bool bHasBegunPlay = false;
};
