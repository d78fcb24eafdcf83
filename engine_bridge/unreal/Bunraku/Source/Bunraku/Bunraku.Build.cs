using UnrealBuildTool;

public class Bunraku : ModuleRules
{
    public Bunraku(ReadOnlyTargetRules Target) : base(Target)
    {
        PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;

        PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine", "RenderCore" });
        PrivateDependencyModuleNames.AddRange(new string[] { "BunrakuClient", "Projects", "RHI" });
    }
}
