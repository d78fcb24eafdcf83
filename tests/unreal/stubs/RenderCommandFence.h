#pragma once

#include <atomic>

#include "CoreMinimal.h"

class FRenderCommandFence
{
public:
    void BeginFence(bool bSyncToRHIAndGPU = false);
    bool IsFenceComplete() const;
    void Wait(bool bProcessGameThreadTasks = false) const;

private:
    std::shared_ptr<std::atomic<bool>> Passed;
};
