#pragma once

#include "Components/SceneComponent.h"
#include "CoreMinimal.h"

class AActor : public UObject
{
public:
    FTickFunction PrimaryActorTick;

    template <class T>
    T* CreateDefaultSubobject(FName)
    {
        T* const Component = NewObject<T>(this);
        AddComponent(Component);
        return Component;
    }

    template <class T>
    T* FindComponentByClass() const
    {
        for (UActorComponent* Component : Components)
        {
            if (T* const Found = dynamic_cast<T*>(Component))
            {
                return Found;
            }
        }
        return nullptr;
    }

    USceneComponent* GetRootComponent() const { return RootComponent; }
    void SetRootComponent(USceneComponent* Component) { RootComponent = Component; }
    FVector GetActorLocation() const { return RootComponent == nullptr ? FVector() : RootComponent->GetComponentTransform().GetLocation(); }

    virtual void BeginPlay() { bSuperCalled = true; }
    virtual void EndPlay(const EEndPlayReason::Type) { bSuperCalled = true; }
    virtual void Tick(float) {}

    // What the world does with an actor.
    void AddComponent(UActorComponent* Component);
    void RemoveComponent(UActorComponent* Component);
    void StubBeginPlay();
    void StubEndPlay(EEndPlayReason::Type Reason);
    void StubTick(float DeltaSeconds);
    void StubDestroy();

private:
    TObjectPtr<USceneComponent> RootComponent;
    TArray<TObjectPtr<UActorComponent>> Components;
    bool bSuperCalled = false;
};
