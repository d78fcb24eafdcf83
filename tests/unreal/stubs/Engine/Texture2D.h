#pragma once

#include "CoreMinimal.h"
#include "RHITypes.h"

enum EPixelFormat : uint8 { PF_Unknown, PF_B8G8R8A8, PF_R8G8B8A8 };
enum TextureAddress { TA_Wrap, TA_Clamp, TA_Mirror };

// The render thread's half of a texture: the bytes that a graphics card would have.
class FTextureResource
{
public:
    FTextureResource(int32 Width, int32 Height);
    std::vector<uint8> Bytes;
    int32 Width, Height;
    int Updates = 0;
};

class UTexture : public UObject
{
public:
    uint8 SRGB : 1;
    uint8 NeverStream : 1;
    UTexture() : SRGB(true), NeverStream(false) {}
};

class UTexture2D : public UTexture
{
public:
    TextureAddress AddressX = TA_Wrap;
    TextureAddress AddressY = TA_Wrap;

    static UTexture2D* CreateTransient(int32 InSizeX, int32 InSizeY, EPixelFormat InFormat = PF_B8G8R8A8);

    void UpdateResource();
    FTextureResource* GetResource() const { return Resource; }
    int32 GetSizeX() const { return SizeX; }
    int32 GetSizeY() const { return SizeY; }
    EPixelFormat GetPixelFormat() const { return Format; }

    // The copy is made later on the render thread; Regions and SrcData must live until DataCleanupFunc. Without a
    // resource nothing happens, and DataCleanupFunc is dropped without having been called: so does the engine.
    void UpdateTextureRegions(int32 MipIndex, uint32 NumRegions, const FUpdateTextureRegion2D* Regions, uint32 SrcPitch,
        uint32 SrcBpp, uint8* SrcData,
        TFunction<void(uint8* SrcData, const FUpdateTextureRegion2D* Regions)> DataCleanupFunc =
            [](uint8*, const FUpdateTextureRegion2D*) {});

    virtual void BeginDestroy() override;

private:
    void ReleaseResource();

    FTextureResource* Resource = nullptr;
    int32 SizeX = 0, SizeY = 0;
    EPixelFormat Format = PF_Unknown;
};

namespace stub
{
// As on a dedicated server: textures made from now on have no resource.
extern bool bCanEverRender;

// Everything in the texture, after the render thread has caught up.
std::vector<uint8> ReadBack(UTexture2D* Texture);
int TexturesAlive();
}
