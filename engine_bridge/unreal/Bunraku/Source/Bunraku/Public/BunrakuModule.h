#pragma once

#include "CoreMinimal.h"
#include "Modules/ModuleInterface.h"

DECLARE_LOG_CATEGORY_EXTERN(LogBunraku, Log, All);

/** Loads the native client and says whether it can be used. */
class BUNRAKU_API FBunrakuModule : public IModuleInterface
{
public:
    virtual void StartupModule() override;
    virtual void ShutdownModule() override;

    /** False if the native client is missing or of another ABI; the log then says what to do. Without it nothing of it may be called. */
    static bool IsNativeClientLoaded();

private:
    void UnloadLibrary();

    void* LibraryHandle = nullptr;
};
