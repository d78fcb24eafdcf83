#pragma once

#include "GameFramework/Actor.h"

class APawn : public AActor
{
};
