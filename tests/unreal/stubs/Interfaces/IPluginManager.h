#pragma once

#include "CoreMinimal.h"

class IPlugin
{
public:
    FString GetBaseDir() const { return FString(stub::ToUtf16(std::getenv("STUB_PLUGIN_DIR")).c_str()); }
};

class IPluginManager
{
public:
    static IPluginManager& Get();

    // The plugin of the environment's STUB_PLUGIN_DIR, or none.
    TSharedPtr<IPlugin> FindPlugin(const TCHAR*)
    {
        return std::getenv("STUB_PLUGIN_DIR") == nullptr ? TSharedPtr<IPlugin>() : TSharedPtr<IPlugin>(std::make_shared<IPlugin>());
    }
};
