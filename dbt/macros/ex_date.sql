{#- The first date without the dividend. MOEX reports the date of the register: shares bought on
    it are in time since trades settle on the next day (31 July 2023), and were a day late while
    they settled on the second. Other sources report the ex-date itself. -#}
{% macro ex_date(source, record_date) -%}
if(
    {{ source }} = 'moex' and {{ record_date }} < toDate32('2023-07-31'),
    {{ record_date }} - if(toDayOfWeek({{ record_date }}) = 1, 3, 1),
    {{ record_date }}
)
{%- endmacro %}
