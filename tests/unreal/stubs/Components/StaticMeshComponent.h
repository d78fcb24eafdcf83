#pragma once

#include "Components/SceneComponent.h"
#include "Materials/MaterialInstanceDynamic.h"

class UStaticMeshComponent : public USceneComponent
{
public:
    UMaterialInstanceDynamic* CreateDynamicMaterialInstance(int32, UMaterialInterface* = nullptr, FName = FName())
    {
        StubMaterial = NewObject<UMaterialInstanceDynamic>(this);
        return StubMaterial;
    }

    TObjectPtr<UMaterialInstanceDynamic> StubMaterial;
};
