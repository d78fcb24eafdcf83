#pragma once

#include "Modules/ModuleInterface.h"

namespace stub
{
std::unique_ptr<IModuleInterface> MakeModule();
}

#define IMPLEMENT_MODULE(Class, Name)                     \
    std::unique_ptr<IModuleInterface> stub::MakeModule()  \
    {                                                     \
        return std::make_unique<Class>();                 \
    }
