#pragma once

#include "Components/ActorComponent.h"

class USceneComponent : public UActorComponent
{
public:
    const FTransform& GetComponentTransform() const { return Transform; }
    void SetWorldLocationAndRotation(const FVector& Location, const FRotator& Rotation) { Transform = FTransform(Rotation, Location); }
    void SetupAttachment(USceneComponent*) {}

private:
    FTransform Transform;
};
