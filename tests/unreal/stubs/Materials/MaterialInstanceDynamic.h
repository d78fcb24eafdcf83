#pragma once

#include "Engine/Texture2D.h"
#include "Materials/MaterialInterface.h"

class UMaterialInstanceDynamic : public UMaterialInterface
{
public:
    void SetTextureParameterValue(FName ParameterName, UTexture* Value) { StubTextures.Add(ParameterName, Value); }

    TMap<FName, TObjectPtr<UTexture>> StubTextures;
};
