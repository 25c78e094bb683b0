"""What a DRAM command costs: as published, or from the supply currents of a data sheet."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Status: TypeAlias = Literal["published", "derived", "estimate"]


class Supply(BaseModel):
    """One supply of a device: its voltage, and its currents in the loops that JEDEC defines.

    idd0: a bank opens and closes, again and again, every tRAS + tRP
    idd2n, idd3n: no command, all banks closed; a bank open
    idd4r, idd4w: burst after burst is read, or written
    idd5: refresh after refresh, every tRFC
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vdd_v: float = Field(gt=0, allow_inf_nan=False)
    idd0_ma: float = Field(ge=0, allow_inf_nan=False)
    idd2n_ma: float = Field(ge=0, allow_inf_nan=False)
    idd3n_ma: float = Field(ge=0, allow_inf_nan=False)
    idd4r_ma: float = Field(ge=0, allow_inf_nan=False)
    idd4w_ma: float = Field(ge=0, allow_inf_nan=False)
    idd5_ma: float = Field(ge=0, allow_inf_nan=False)


class Power(BaseModel):
    """Supply currents of a device, and what a bit costs on the wires.

    devices: how many make up one channel, or each of its sub-channels
    t_*: of the device whose currents these are: row open, row closing, one refresh
    io_*: driver and termination, for a bit of payload; 0 where the currents contain them
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: int = Field(gt=0)
    t_ras_ns: float = Field(gt=0, allow_inf_nan=False)
    t_rp_ns: float = Field(gt=0, allow_inf_nan=False)
    t_rfc_ns: float = Field(gt=0, allow_inf_nan=False)
    supplies: tuple[Supply, ...] = Field(min_length=1)
    source: str = Field(min_length=1)
    io_read_pj_per_bit: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    io_write_pj_per_bit: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    io_source: str = Field(min_length=1)
    status: Status

    @model_validator(mode="after")
    def _commands_take_energy(self) -> "Power":
        energies = {
            "idd0_ma": self._row_pj,
            "idd4r_ma": self._above_standby_mw("idd4r_ma"),
            "idd4w_ma": self._above_standby_mw("idd4w_ma"),
            "idd5_ma": self._above_standby_mw("idd5_ma"),
        }
        for name, energy in energies.items():
            if energy < 0:
                raise ValueError(
                    f"{name} is below standby, so that its command would give energy back: these "
                    "currents do not fit the method, leave [power] out"
                )
        return self

    @property
    def _row_pj(self) -> float:
        """A row of one device opens and closes: what idd0 is above standby, before and after."""
        return sum(
            s.vdd_v
            * ((s.idd0_ma - s.idd3n_ma) * self.t_ras_ns + (s.idd0_ma - s.idd2n_ma) * self.t_rp_ns)
            for s in self.supplies
        )

    def _above_standby_mw(self, current: str) -> float:
        """Power of one device beyond that of standby with an open bank."""
        return sum(s.vdd_v * (float(getattr(s, current)) - s.idd3n_ma) for s in self.supplies)

    def commands(self, burst_ns: float, burst_bytes: int) -> "Commands":
        """Energies of commands, by the method of Micron TN-41-01 and DRAMPower (docs/energy-dram.md).

        burst_ns, burst_bytes: time and payload of one burst of a sub-channel
        """
        per_bit = self.devices * burst_ns / (8 * burst_bytes)
        read_pj = self._above_standby_mw("idd4r_ma") * per_bit
        write_pj = self._above_standby_mw("idd4w_ma") * per_bit
        return Commands(
            activate_pj=self.devices * self._row_pj,
            read_pj_per_bit=read_pj + self.io_read_pj_per_bit,
            write_pj_per_bit=write_pj + self.io_write_pj_per_bit,
            refresh_pj=self.devices * self._above_standby_mw("idd5_ma") * self.t_rfc_ns,
            standby_mw=self.devices * sum(s.vdd_v * s.idd3n_ma for s in self.supplies),
            source=f"{self.source}; wires: {self.io_source}",
            status=self.status,
        )


class Commands(BaseModel):
    """Energies of one sub-channel's commands; None where nothing is published.

    activate_pj: a row opens and closes
    read_pj_per_bit, write_pj_per_bit: a bit of a burst, wires contained
    refresh_pj: one refresh of all banks
    standby_mw: as long as a row is open, whatever happens
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    activate_pj: float = Field(ge=0, allow_inf_nan=False)
    read_pj_per_bit: float = Field(ge=0, allow_inf_nan=False)
    write_pj_per_bit: float = Field(ge=0, allow_inf_nan=False)
    refresh_pj: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    standby_mw: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    source: str = Field(min_length=1)
    status: Status
