#pragma once

#include "CoreMinimal.h"

struct FPaths
{
    static FString Combine(const FString& A, const TCHAR* B, const TCHAR* C)
    {
        return FString((std::u16string(*A) + u'/' + B + u'/' + C).c_str());
    }
};
