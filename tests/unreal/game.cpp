/*
 * A game without an engine: the plugin's components on an actor, the stand-in for Unreal around them, the real native
 * client below. Reads commands from stdin, one per line, and says one JSON object per line.
 *
 *     spawn KEY=VALUE...       an actor with the three components; endpoint stream encoding format textures key material
 *     npc ENDPOINT             the talking NPC of the examples, with a player who stands to her left
 *     run SECONDS              tick 60 times a second; says every picture that reached a texture
 *     say WORDS, set NAME VALUE, release NAME, expression [NAME], leave, identity NAME, seed N, mix NAME AMOUNT, mixseed N AMOUNT,
 *     unmix, psi X, calibrate, look X Y Z, head PITCH YAW ROLL, unlook, stop
 *     mouth MS TEXT            what is sent when a line is this old; \t and \n in the text are a tab and a line feed
 *     open, close, last        the receiver's functions; closeinevent: close from within the next texture's event
 *     hold, resume             the render thread
 *     headless                 textures have no resource from now on, as on a dedicated server
 *     dropcontrol              destroy the control and speech components only
 *     destroy, gc, clear       the actor; one run of the garbage collector; forget the actor
 *     report, statistics, takes
 *     quit                     shut the module down and end
 */
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <iostream>
#include <sstream>
#include <thread>

#include "BunrakuControlComponent.h"
#include "BunrakuModule.h"
#include "BunrakuReceiverComponent.h"
#include "BunrakuSpeechComponent.h"
#include "Components/StaticMeshComponent.h"
#include "bunraku/client.h"
#include "Engine/Texture2D.h"
#include "GameFramework/Actor.h"
#include "Kismet/GameplayStatics.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "Modules/ModuleManager.h"
#include "RenderingThread.h"
#include "TalkingNpc.h"

// The linker sends the plugin's calls through here (--wrap), so that leases and clients can be counted around the real
// library.
std::atomic<int> Leases{0};
std::atomic<int> Clients{0};
std::atomic<int> SentStates{0};

// The newest state that was sent; only the game thread sends.
struct FSentState
{
    std::map<std::string, float> Values;
    bool bExpression = false;
    std::string Expression;
};
FSentState LastSent;

extern "C"
{
int32_t __real_bunraku_open(const bunraku_options*, bunraku_client**, char*, size_t);
void __real_bunraku_close(bunraku_client*);
int32_t __real_bunraku_acquire(bunraku_client*, bunraku_frame*);
int32_t __real_bunraku_release(bunraku_client*, uint32_t);
int32_t __real_bunraku_send_control(bunraku_client*, const bunraku_control_state*, uint64_t*);
uint32_t __real_bunraku_abi_version(void);

// The library's own, or what the environment's STUB_ABI_VERSION claims.
uint32_t __wrap_bunraku_abi_version(void)
{
    const char* const Claimed = std::getenv("STUB_ABI_VERSION");
    return Claimed == nullptr ? __real_bunraku_abi_version() : static_cast<uint32_t>(std::atoi(Claimed));
}

int32_t __wrap_bunraku_open(const bunraku_options* Options, bunraku_client** Client, char* Why, size_t WhyBytes)
{
    const int32_t Result = __real_bunraku_open(Options, Client, Why, WhyBytes);
    Clients += Result >= 0 ? 1 : 0;
    return Result;
}

void __wrap_bunraku_close(bunraku_client* Client)
{
    __real_bunraku_close(Client);
    --Clients;
}

int32_t __wrap_bunraku_acquire(bunraku_client* Client, bunraku_frame* Frame)
{
    const int32_t Result = __real_bunraku_acquire(Client, Frame);
    Leases += Result == BUNRAKU_NEW_FRAME ? 1 : 0;
    return Result;
}

int32_t __wrap_bunraku_release(bunraku_client* Client, uint32_t Lease)
{
    --Leases;
    return __real_bunraku_release(Client, Lease);
}

int32_t __wrap_bunraku_send_control(bunraku_client* Client, const bunraku_control_state* State, uint64_t* ControlId)
{
    ++SentStates;
    LastSent.Values.clear();
    for (uint32_t Index = 0; Index < State->control_count; ++Index)
    {
        LastSent.Values[State->controls[Index].name] = State->controls[Index].value;
    }
    LastSent.bExpression = State->expression != nullptr;
    LastSent.Expression = LastSent.bExpression ? State->expression : "";
    return __real_bunraku_send_control(Client, State, ControlId);
}
}

namespace
{
const char* const StateNames[] = {"Lost", "Live", "Stale", "Error", "Incompatible"};

std::string Quoted(const FString& Text)
{
    std::string Out = "\"";
    for (const char Byte : stub::ToUtf8(*Text))
    {
        if (Byte == '"' || Byte == '\\')
        {
            Out += '\\';
        }
        Out += Byte;
    }
    return Out + "\"";
}

// FNV-1a, 64 bit.
uint64 HashOf(const std::vector<uint8>& Bytes)
{
    uint64 Hash = 0xcbf29ce484222325u;
    for (const uint8 Byte : Bytes)
    {
        Hash = (Hash ^ Byte) * 0x100000001b3u;
    }
    return Hash;
}

std::string Joined(const TArray<FString>& Names)
{
    std::string Out;
    for (const FString& Name : Names)
    {
        Out += (Out.empty() ? "" : ", ") + Quoted(Name);
    }
    return "[" + Out + "]";
}

class UListener : public UObject
{
public:
    void OnState(EBunrakuState State) { std::printf("{\"event\": \"state\", \"state\": \"%s\"}\n", StateNames[static_cast<int>(State)]); }
    void OnSize(int32 Width, int32 Height) { std::printf("{\"event\": \"size\", \"width\": %d, \"height\": %d}\n", Width, Height); }
    void OnTexture(UTexture2D*)
    {
        ++TextureChanges;
        if (Victim != nullptr)
        {
            UBunrakuReceiverComponent* const Closed = Victim;
            Victim = nullptr;
            Closed->Close();
        }
    }
    void OnSpoken() { std::printf("{\"event\": \"spoken\"}\n"); }

    int TextureChanges = 0;
    TObjectPtr<UBunrakuReceiverComponent> Victim;  // closed from within the next event
};

class FGame
{
public:
    FGame()
    {
        Listener = NewObject<UListener>();
        Listener->AddToRoot();
    }

    void Spawn(std::istringstream& Words)
    {
        AActor* const Made = NewObject<AActor>();
        Made->SetRootComponent(Made->CreateDefaultSubobject<USceneComponent>(TEXT("Face")));
        Receiver = Made->CreateDefaultSubobject<UBunrakuReceiverComponent>(TEXT("Receiver"));
        Control = Made->CreateDefaultSubobject<UBunrakuControlComponent>(TEXT("Control"));
        Speech = Made->CreateDefaultSubobject<UBunrakuSpeechComponent>(TEXT("Speech"));
        bool bMaterial = false;
        for (std::string Word; Words >> Word;)
        {
            const std::string Key = Word.substr(0, Word.find('='));
            const std::string Value = Word.substr(Word.find('=') + 1);
            const FString Text(UTF8_TO_TCHAR(Value.c_str()));
            if (Key == "endpoint") Receiver->Endpoint = Text;
            else if (Key == "stream") Receiver->Stream = Text;
            else if (Key == "key") Receiver->KeyFile = Text;
            else if (Key == "textures") Receiver->TextureCount = std::stoi(Value);
            else if (Key == "encoding") Receiver->Encoding = static_cast<EBunrakuEncoding>(std::stoi(Value));
            else if (Key == "format") Receiver->PixelFormat = Value == "rgba8" ? EBunrakuPixelFormat::Rgba8 : EBunrakuPixelFormat::Bgra8;
            else if (Key == "material") bMaterial = true;
            else stub::Die("spawn with an unknown setting");
        }
        Begin(Made);
        if (bMaterial)
        {
            Material = NewObject<UMaterialInstanceDynamic>();
            Receiver->BindMaterial(Material, TEXT("Picture"));
        }
    }

    void SpawnNpc(std::istringstream& Words)
    {
        std::string Endpoint;
        Words >> Endpoint;
        Player = NewObject<APawn>();
        USceneComponent* const Feet = Player->CreateDefaultSubobject<USceneComponent>(TEXT("Feet"));
        Feet->SetWorldLocationAndRotation(FVector(1000.0, -176.3269807, 55.0), FRotator());  // 10 degrees to her left
        Player->SetRootComponent(Feet);
        UGameplayStatics::StubPlayer = Player;

        ATalkingNpc* const Npc = NewObject<ATalkingNpc>();
        Npc->PictureMaterial = NewObject<UMaterialInterface>();
        Receiver = Npc->Receiver;
        Control = Npc->Control;
        Speech = Npc->Speech;
        Receiver->Endpoint = FString(UTF8_TO_TCHAR(Endpoint.c_str()));
        Begin(Npc);
        Material = Npc->Picture->StubMaterial;
    }

    void Run(double Seconds)
    {
        const auto Period = std::chrono::duration<double>(1.0 / 60.0);
        const auto End = std::chrono::steady_clock::now() + std::chrono::duration<double>(Seconds);
        while (std::chrono::steady_clock::now() < End)
        {
            const int64 Before = Receiver->GetFrameId();
            double Longest = Measured([this, Period] { Actor->StubTick(static_cast<float>(Period.count())); });
            LongestTickMs = std::max(LongestTickMs, Longest);
            if (Receiver->GetFrameId() != Before && !bHeld)
            {
                SayPicture();
            }
            std::this_thread::sleep_for(Period);
        }
        std::printf("{\"ran\": true}\n");
    }

    void Handle(const std::string& Line)
    {
        std::istringstream Words(Line);
        std::string Verb, Name;
        double X = 0.0, Y = 0.0, Z = 0.0;
        Words >> Verb;
        const auto Text = [&Words] {
            std::string Rest;
            std::getline(Words >> std::ws, Rest);
            return FString(UTF8_TO_TCHAR(Rest.c_str()));
        };
        const auto Word = [&Words, &Name] {
            Words >> Name;
            return FString(UTF8_TO_TCHAR(Name.c_str()));
        };
        const auto Number = [&Words] {
            std::string Digits;
            Words >> Digits;
            return std::strtod(Digits.c_str(), nullptr);  // takes nan and inf, which streams do not
        };
        if (Verb == "spawn") Spawn(Words);
        else if (Verb == "npc") SpawnNpc(Words);
        else if (Verb == "run") Run(Number());
        else if (Verb == "say") Speech->Say(Text());
        else if (Verb == "mouth") { const double Age = Number(); SayMouth(Age, Words); }
        else if (Verb == "stop") Speech->StopSpeaking();
        else if (Verb == "set") { const FString Control_ = Word(); Answer(Control->SetControl(Control_, static_cast<float>(Number()))); }
        else if (Verb == "release") Control->ReleaseControl(Word());
        else if (Verb == "expression") Answer(Control->SetExpression(Text()));
        else if (Verb == "leave") Control->LeaveExpression();
        else if (Verb == "identity") Answer(Control->SetIdentity(Text()));
        else if (Verb == "seed") Answer(Control->SetSeed(static_cast<int64>(Number())));
        else if (Verb == "mix") { const FString Who = Word(); Answer(Control->Mix(Who, static_cast<float>(Number()))); }
        else if (Verb == "mixseed") { const double Seed = Number(); Answer(Control->MixSeed(static_cast<int64>(Seed), static_cast<float>(Number()))); }
        else if (Verb == "unmix") Control->Unmix();
        else if (Verb == "psi") Answer(Control->SetTruncation(static_cast<float>(Number())));
        else if (Verb == "calibrate") Control->Calibrate();
        else if (Verb == "look") { Words >> X >> Y >> Z; Control->LookAtLocation(FVector(X, Y, Z)); }
        else if (Verb == "head") { X = Number(); Y = Number(); Z = Number(); Answer(Control->SetHeadRotation(FRotator(X, Y, Z))); }
        else if (Verb == "unlook") Control->StopLooking();
        else if (Verb == "open") Answer(Receiver->Open());
        else if (Verb == "close") Receiver->Close();
        else if (Verb == "closeinevent") Listener->Victim = Receiver;
        else if (Verb == "last") Receiver->RequestLastFrame();
        else if (Verb == "hold") { stub::PauseRenderThread(); bHeld = true; }
        else if (Verb == "resume") { stub::ResumeRenderThread(); FlushRenderingCommands(); bHeld = false; }
        else if (Verb == "headless") stub::bCanEverRender = false;
        else if (Verb == "destroy") { std::printf("{\"destroyed_ms\": %f}\n", Measured([this] { Actor->StubDestroy(); })); }
        else if (Verb == "dropcontrol") { Speech->DestroyComponent(); Control->DestroyComponent(); Speech = nullptr; Control = nullptr; }
        else if (Verb == "gc") std::printf("{\"waiting\": %d}\n", stub::CollectGarbage());
        else if (Verb == "clear") Clear();
        else if (Verb == "report") Report();
        else if (Verb == "statistics") SayStatistics();
        else if (Verb == "takes") SayTakes();
        else stub::Die("an unknown command");
    }

    void Clear()
    {
        if (Actor != nullptr)
        {
            Actor->RemoveFromRoot();
        }
        Actor = nullptr;
        Receiver = nullptr;
        Control = nullptr;
        Speech = nullptr;
        Material = nullptr;
        Player = nullptr;
        UGameplayStatics::StubPlayer = nullptr;
    }

    void End()
    {
        Clear();
        Listener->RemoveFromRoot();
    }

private:
    void Begin(AActor* Made)
    {
        Actor = Made;
        Actor->AddToRoot();
        Receiver->OnStateChanged.AddDynamic(Listener, &UListener::OnState);
        Receiver->OnSizeChanged.AddDynamic(Listener, &UListener::OnSize);
        Receiver->OnTextureChanged.AddDynamic(Listener, &UListener::OnTexture);
        Speech->OnFinished.AddDynamic(Listener, &UListener::OnSpoken);
        Actor->StubBeginPlay();
        std::printf("{\"spawned\": true, \"open\": %s, \"error\": %s}\n", Receiver->IsOpen() ? "true" : "false",
            Quoted(Receiver->GetOpenError()).c_str());
    }

    template <class Function>
    static double Measured(const Function& Call)
    {
        const auto Start = std::chrono::steady_clock::now();
        Call();
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - Start).count();
    }

    static void Answer(bool bTaken) { std::printf("{\"taken\": %s}\n", bTaken ? "true" : "false"); }

    void SayPicture() const
    {
        UTexture2D* const Texture = Receiver->GetTexture();
        const bool bBound = Material != nullptr && Material->StubTextures.begin() != Material->StubTextures.end() &&
            Material->StubTextures.begin()->Value == Texture;
        std::printf("{\"frame\": %" PRId64 ", \"hash\": \"%016" PRIx64 "\", \"width\": %d, \"height\": %d, \"texture\": %" PRIu64
                    ", \"srgb\": %s, \"format\": %d, \"age_ms\": %f, \"bound\": %s}\n",
            Receiver->GetFrameId(), HashOf(stub::ReadBack(Texture)), Receiver->GetWidth(), Receiver->GetHeight(), Texture->StubSerial,
            Texture->SRGB ? "true" : "false", static_cast<int>(Texture->GetPixelFormat()), Receiver->GetFrameAgeMs(), bBound ? "true" : "false");
    }

    void Report() const
    {
        std::printf("{\"leases\": %d, \"clients\": %d, \"textures\": %d, \"commands\": %d, \"sent\": %d, \"texture_changes\": %d, \"longest_tick_ms\": %f"
                    ", \"speaking\": %s, \"state\": \"%s\", \"loaded\": %s}\n",
            Leases.load(), Clients.load(), stub::TexturesAlive(), stub::RenderCommandsWaiting(), SentStates.load(), Listener->TextureChanges,
            LongestTickMs, Speech != nullptr && Speech->IsSpeaking() ? "true" : "false",
            Receiver != nullptr ? StateNames[static_cast<int>(Receiver->GetState())] : "", FBunrakuModule::IsNativeClientLoaded() ? "true" : "false");
    }

    void SayMouth(double AgeMs, std::istringstream& Words)
    {
        std::string Text;
        std::getline(Words, Text);
        Text.erase(0, 1);
        for (const auto& [Escape, Byte] : {std::pair("\\t", "\t"), std::pair("\\n", "\n")})
        {
            for (std::size_t At; (At = Text.find(Escape)) != std::string::npos;)
            {
                Text.replace(At, 2, Byte);
            }
        }
        // What the line before left behind is the game's, not this line's.
        Control->LeaveExpression();
        Speech->Say(FString(UTF8_TO_TCHAR(Text.c_str())));
        Actor->StubTick(static_cast<float>(AgeMs / 1000.0));
        std::printf("{\"mouth\": [%f, %f, %f, %f, %f], \"expression\": %s}\n", LastSent.Values["aa"], LastSent.Values["ih"], LastSent.Values["ou"],
            LastSent.Values["ee"], LastSent.Values["oh"],
            LastSent.bExpression ? Quoted(FString(UTF8_TO_TCHAR(LastSent.Expression.c_str()))).c_str() : "null");
    }

    void SayStatistics() const
    {
        const FBunrakuStatistics S = Receiver->GetStatistics();
        std::printf("{\"received\": %" PRId64 ", \"shown\": %" PRId64 ", \"skipped\": %" PRId64 ", \"deferred\": %" PRId64 ", \"bad\": %" PRId64
                    ", \"refused\": %" PRId64 ", \"arrival_ms\": %f, \"taken_ms\": %f, \"motion_to_photon_ms\": %f, \"fps\": %f"
                    ", \"encoding\": %d, \"stream\": %s, \"provider\": %s, \"ai\": %s, \"source\": %s, \"error\": %s}\n",
            S.Received, S.Shown, S.Skipped, S.Deferred, S.Bad, S.Refused, S.ArrivalAgeMs, S.TakenAgeMs, S.MotionToPhotonMs, S.ProducerFps, static_cast<int>(S.Encoding),
            Quoted(S.Stream).c_str(), Quoted(S.Provider).c_str(), S.bMadeByAI ? "true" : "false", Quoted(S.Source).c_str(), Quoted(S.LastError).c_str());
    }

    void SayTakes() const
    {
        std::string Controls;
        for (const FBunrakuControl& Spec : Control->GetControls())
        {
            Controls += (Controls.empty() ? "" : ", ") + std::string("[") + Quoted(Spec.Name) + ", " + Quoted(Spec.Group) + ", " +
                std::to_string(Spec.Minimum) + ", " + std::to_string(Spec.Maximum) + ", " + std::to_string(Spec.Rest) + "]";
        }
        std::printf("{\"controls\": [%s], \"identities\": %s, \"expressions\": %s}\n", Controls.c_str(), Joined(Control->GetIdentities()).c_str(),
            Joined(Control->GetExpressions()).c_str());
    }

    TObjectPtr<AActor> Actor;
    TObjectPtr<UBunrakuReceiverComponent> Receiver;
    TObjectPtr<UBunrakuControlComponent> Control;
    TObjectPtr<UBunrakuSpeechComponent> Speech;
    TObjectPtr<UMaterialInstanceDynamic> Material;
    TObjectPtr<APawn> Player;
    UListener* Listener = nullptr;
    bool bHeld = false;
    double LongestTickMs = 0.0;
};
}

int main()
{
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const std::unique_ptr<IModuleInterface> Module = stub::MakeModule();
    Module->StartupModule();
    {
        FGame Game;
        std::printf("{\"loaded\": %s}\n", FBunrakuModule::IsNativeClientLoaded() ? "true" : "false");
        for (std::string Line; std::getline(std::cin, Line) && Line != "quit";)
        {
            Game.Handle(Line);
        }
        Game.End();
    }
    // As the engine does at its end: collect until nothing waits any more.
    for (int Run = 0; Run < 1000 && stub::CollectGarbage() > 0; ++Run)
    {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    Module->ShutdownModule();
    std::printf("{\"ended\": true, \"leases\": %d, \"clients\": %d, \"textures\": %d}\n", Leases.load(), Clients.load(), stub::TexturesAlive());
    return 0;
}
