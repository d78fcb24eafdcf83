#include "BunrakuModule.h"

#include "Core/Client.h"
#include "HAL/PlatformProcess.h"
#include "Interfaces/IPluginManager.h"
#include "Misc/Paths.h"
#include "Modules/ModuleManager.h"
#include "RenderingThread.h"

DEFINE_LOG_CATEGORY(LogBunraku);

namespace
{
bool bNativeClientLoaded = false;

FString NativeClientPath()
{
    const TSharedPtr<IPlugin> Plugin = IPluginManager::Get().FindPlugin(TEXT("Bunraku"));
    if (!Plugin.IsValid())
    {
        return FString();
    }
#if PLATFORM_WINDOWS
    const TCHAR* File = TEXT("Win64/bunraku_client.dll");
#elif PLATFORM_MAC
    const TCHAR* File = TEXT("Mac/libbunraku_client.dylib");
#else
    const TCHAR* File = TEXT("Linux/libbunraku_client.so");
#endif
    return FPaths::Combine(Plugin->GetBaseDir(), TEXT("Binaries/ThirdParty/BunrakuClient"), File);
}
}

void FBunrakuModule::StartupModule()
{
    const FString Path = NativeClientPath();
    LibraryHandle = Path.IsEmpty() ? nullptr : FPlatformProcess::GetDllHandle(*Path);
    if (LibraryHandle == nullptr)
    {
        UE_LOG(LogBunraku, Error, TEXT("The native client %s cannot be loaded. The plugin's README.md says where it comes from."), *Path);
        return;
    }
    const uint32 Version = bunraku_abi_version();
    if (Version != BUNRAKU_ABI_VERSION)
    {
        UE_LOG(LogBunraku, Error, TEXT("The native client %s has ABI %u, this plugin needs %u. Take both from the same release."),
            *Path, Version, BUNRAKU_ABI_VERSION);
        UnloadLibrary();
        return;
    }
    bNativeClientLoaded = true;
    UE_LOG(LogBunraku, Log, TEXT("Native client %s"), UTF8_TO_TCHAR(bunraku_version()));
}

void FBunrakuModule::ShutdownModule()
{
    bNativeClientLoaded = false;
    // Updates that are still queued hold leases; once they have run, the last of them has closed its client.
    FlushRenderingCommands();
    if (bunraku::core::Client::open_count() == 0)
    {
        UnloadLibrary();
    }
    else
    {
        UE_LOG(LogBunraku, Warning, TEXT("%d receivers are still open; the native client stays loaded."), bunraku::core::Client::open_count());
    }
}

bool FBunrakuModule::IsNativeClientLoaded()
{
    return bNativeClientLoaded;
}

void FBunrakuModule::UnloadLibrary()
{
    if (LibraryHandle != nullptr)
    {
        FPlatformProcess::FreeDllHandle(LibraryHandle);
        LibraryHandle = nullptr;
    }
}

IMPLEMENT_MODULE(FBunrakuModule, Bunraku)
